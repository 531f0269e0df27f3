source_filename = "base.c"
target datalayout = "e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128"
target triple = "x86_64-pc-linux-gnu"

module asm ".globl marker"

%Pair = type { i32, i64 }
%Unused = type { i8 }

$group = comdat any

@llvm.used = appending global [1 x ptr] [ptr @kept], section "llvm.metadata"
@llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 65535, ptr @start, ptr null }]
@kept = global i32 1
@counter = internal global i32 3, align 4
@text = private unnamed_addr constant [4 x i8] c"%d\0A\00"
@placed = external global i32, section ".mine"
@local = external thread_local(initialexec) global i32
@visible = hidden global i32 0, partition "one"
@large = external global i32, code_model "large"
@absolute = external global i8, !absolute_symbol !50
@outside = externally_initialized global i32 0
@imported = external dllimport global i32
@group = internal global i32 0, comdat
@grouped = linkonce_odr global i32 0, comdat($group)
@tag = external constant ptr
@first = external global i32
@last = external global i32
@named_a = external global i32
@named_b = external global i32
@twin = global [2 x i32] [i32 1, i32 2]
@unneeded = global %Unused zeroinitializer

@nick = alias i32 (i32), ptr @helper
@chosen = ifunc i32 (i32), ptr @resolve

declare i32 @external(i32) #1
declare dso_local i32 @near(i32)
declare i32 @printf(ptr, ...)
declare i32 @__gxx_personality_v0(...)
declare fastcc void @fast()
declare void @takes(ptr sret(%Pair), ptr dereferenceable(8), i32 range(i32 0, 100))
declare void @llvm.experimental.noalias.scope.decl(metadata)

define internal i32 @helper(i32 %x) noinline {
  ret i32 %x
}

define i32 @gone(i32 %x) {
  ret i32 7
}

define i32 @stub(i32 %x) {
  ret i32 1
}

define ptr @resolve() {
  ret ptr @helper
}

define ptr @resolve2() {
  ret ptr @stub
}

define void @start() {
  ret void
}

define i32 @shared(i32 %x) {
  br label %first
first:
  %named = add i32 %x, 1
  br label %second
second:
  store ptr blockaddress(@shared, %first), ptr @last
  ret i32 %named
}

define i32 @root(i32 %x, i32 %y) #2 section ".text.root" align 32 gc "statepoint-example" prefix i32 123 prologue i8 -112 personality ptr @__gxx_personality_v0 !prof !60 {
entry:
  %q = alloca %Pair, align 8
  %r = alloca [3 x i32], align 4
  %a = add nsw i32 %x, %y
  %b = mul i32 %a, 77
  store ptr null, ptr %q
  store i128 1234567890123456789012, ptr %r
  %f = uitofp i32 %b to double
  %g = fadd fast double %f, 1.5
  store double %g, ptr %q
  store <4 x i32> <i32 1, i32 2, i32 3, i32 4>, ptr %r
  %e = getelementptr inbounds %Pair, ptr %q, i32 0, i32 1
  store i32 %a, ptr %e, !tbaa !20
  %l = load i32, ptr @counter, align 4, !noundef !30
  %o = atomicrmw add ptr @counter, i32 %l syncscope("agent") seq_cst, align 4
  %w = cmpxchg weak ptr @counter, i32 %l, i32 1 seq_cst seq_cst, align 4
  fence syncscope("singlethread") acquire
  %c = load i32, ptr @placed, align 4, !mine !31
  %h = tail call i32 @helper(i32 %c)
  call fastcc void @fast() nounwind memory(read)
  call void @takes(ptr sret(%Pair) %q, ptr dereferenceable(8) %r, i32 range(i32 0, 100) %c)
  %p = call i32 (ptr, ...) @printf(ptr @text, i32 %c)
  %d = call i32 @near(i32 %p) [ "deopt"(i32 7) ]
  call void asm sideeffect "nop #1", "~{memory}"()
  call void @llvm.experimental.noalias.scope.decl(metadata !41)
  store i32 %d, ptr @local, !alias.scope !41, !noalias !43
  store i32 %d, ptr @visible
  store i32 %d, ptr @large
  store i8 0, ptr @absolute
  store i32 %d, ptr @outside
  store i32 %d, ptr @imported
  store i32 %d, ptr @grouped
  store i32 %d, ptr @first
  %n = call i32 @nick(i32 %d)
  %j = call i32 @gone(i32 %n)
  %i = call i32 @chosen(i32 %j)
  store ptr dso_local_equivalent @helper, ptr %q
  %s = icmp sgt i32 %b, %i
  br i1 %s, label %choose, label %call, !prof !61
choose:
  switch i32 %b, label %done [
    i32 3, label %three
    i32 5, label %three
  ]
three:
  br label %done
call:
  %v = invoke i32 @external(i32 %b) to label %done unwind label %pad
pad:
  %z = landingpad { ptr, i32 }
          cleanup
          catch ptr @tag
  resume { ptr, i32 } %z
done:
  %m = phi i32 [ 10, %choose ], [ 11, %three ], [ %v, %call ]
  br label %loop
loop:
  %k = icmp eq i32 %m, 0
  br i1 %k, label %loop, label %end, !llvm.loop !45
end:
  ret i32 %m
}

define i32 @unused(i32 %x) {
  ret i32 4242
}

; more

attributes #1 = { nounwind }
attributes #2 = { nounwind "target-cpu"="x86-64" }

!llvm.module.flags = !{!0, !1}
!llvm.ident = !{!2}

!0 = !{i32 8, !"PIC Level", i32 2}
!1 = !{i32 1, !"ThinLTO", i32 1}
!2 = !{!"clang"}
!20 = !{!21, !21, i64 0}
!21 = !{!"int", !22, i64 0}
!22 = !{!"omnipotent char", !23, i64 0}
!23 = !{!"Simple C/C++ TBAA"}
!30 = !{}
!31 = !{!"own"}
!40 = distinct !{!40, !44, !"scope"}
!41 = !{!40}
!42 = distinct !{!42, !44, !"scope"}
!43 = !{!42}
!44 = distinct !{!44, !"domain"}
!45 = distinct !{!45, !46}
!46 = !{!"llvm.loop.mustprogress"}
!50 = !{i64 0, i64 256}
!51 = !{ptr @first}
!60 = !{!"function_entry_count", i64 100}
!61 = !{!"branch_weights", i32 1, i32 9}
