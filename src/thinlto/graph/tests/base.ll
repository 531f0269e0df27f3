source_filename = "base.c"
target datalayout = "e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128"
target triple = "x86_64-pc-linux-gnu"

module asm ".globl marker"

%Pair = type { i32, i64 }
%Unused = type { i8 }

$group = comdat any

@llvm.used = appending global [1 x ptr] [ptr @kept], section "llvm.metadata"
@llvm.compiler.used = appending global [1 x ptr] [ptr @counter], section "llvm.metadata"
@llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 65535, ptr @start, ptr null }]
@kept = global i32 1
@counter = internal global i32 3, align 4
@text = private unnamed_addr constant [4 x i8] c"%d\0A\00"
@placed = external global i32, section ".mine"
@local = external thread_local(initialexec) global i32
@visible = hidden global i32 0, partition "one"
@large = external global i32, code_model "large"
@absolute = external global i8, !absolute_symbol !50
@outside = externally_initialized global i32 0, partition "one"
@imported = external dllimport global i32, partition "one"
@attributed = external global i32 #3
@close = external dso_local global i32, partition "one"
@plain = global i32 0, no_sanitize_address, partition "one"
@group = internal global i32 0, comdat
@grouped = linkonce_odr global i32 0, comdat($group)
@tag = external constant ptr
@first = external global i32
@last = external global i32
@named_a = external global i32
@named_b = external global i32
@twin = global [2 x i32] [i32 1, i32 2]
@unneeded = global %Unused zeroinitializer

@nick = dso_local alias i32 (i32), ptr @helper
@chosen = dso_local ifunc i32 (i32), ptr @resolve

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
  store i32 %d, ptr @attributed
  store i32 %d, ptr @close
  store i32 %d, ptr @plain
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

define i32 @misc(i32 %x, i32 %y, double %d, double %g, ptr %p, ptr %o, <4 x i32> %v, <4 x i32> %w, { i32, i32 } %s, { i32, i32 } %t, i1 %c, i1 %k) personality ptr @__gxx_personality_v0 {
  %m1 = zext i32 %x to i64
  %m2 = mul i32 %x, %y
  %m3 = icmp eq i32 %x, %y
  %m4 = fcmp oeq double %d, %g
  %m5 = fneg double %d
  %m6 = extractelement <4 x i32> %v, i32 %x
  %m7 = insertelement <4 x i32> %v, i32 %x, i32 %y
  %m8 = shufflevector <4 x i32> %v, <4 x i32> %w, <4 x i32> <i32 0, i32 1, i32 2, i32 3>
  %m9 = select i1 %c, double %d, double %g
  %m10 = extractvalue { i32, i32 } %s, 0
  %m11 = insertvalue { i32, i32 } %s, i32 %x, 0
  %m12 = va_arg ptr %p, i32
  %m13 = freeze i32 %x
  %m14 = load atomic i32, ptr %p syncscope("agent") acquire, align 4
  store atomic i32 %x, ptr %p syncscope("agent") release, align 4
  %m15 = load i32, ptr %p, align 4
  store i32 %x, ptr %p, align 4
  %m16 = cmpxchg ptr %p, i32 %x, i32 %y syncscope("agent") acq_rel monotonic, align 4
  %m17 = atomicrmw add ptr %p, i32 %x syncscope("agent") monotonic, align 4
  fence syncscope("agent") acquire
  %m18 = alloca i32, i32 %x, align 4
  %m19 = getelementptr i8, ptr %p, i32 %x
  %m20 = call i32 %p(i32 %x)
  call void (i32, ...) @varied(i32 %x, i32 %y)
  %m21 = call fast double @real(double %d)
  %m22 = call i32 asm "add $1, $0", "=r,r"(i32 %x)
  br i1 %c, label %one, label %two
one:
  indirectbr ptr %p, [label %two, label %four]
two:
  %m23 = phi i32 [ %x, %0 ], [ %y, %one ]
  switch i32 %x, label %four [ i32 1, label %five ]
four:
  %m24 = phi double [ %d, %one ], [ %g, %two ]
  br label %five
five:
  %m25 = invoke i32 %p(i32 %x) to label %six unwind label %seven
six:
  ret i32 %x
seven:
  %m26 = landingpad { ptr, i32 } catch ptr @tag
  resume { ptr, i32 } %m26
}

define void @pads(ptr %p, i32 %x, i1 %c) personality ptr @__CxxFrameHandler3 {
entry:
  invoke void @fast() to label %done unwind label %dispatch
dispatch:
  %n1 = catchswitch within none [label %handler, label %other] unwind label %clean
handler:
  %n2 = catchpad within %n1 [ptr null, i32 64, ptr null]
  catchret from %n2 to label %done
other:
  %n3 = catchpad within %n1 [ptr %p, i32 0, ptr null]
  catchret from %n3 to label %more
clean:
  %n4 = cleanuppad within none [i32 %x]
  cleanupret from %n4 unwind to caller
more:
  callbr void asm sideeffect "", "r,!i"(i32 %x) to label %done [label %last]
last:
  unreachable
done:
  ret void
}

@table = global [3 x ptr] [ptr getelementptr inbounds (%Pair, ptr @twin, i64 1, i32 1), ptr inttoptr (i64 ptrtoint (ptr @shared to i64) to ptr), ptr no_cfi @gone]
@number = global i64 add (i64 ptrtoint (ptr @first to i64), i64 5)
@middle = global ptr getelementptr inbounds inrange(-8, 8) (i8, ptr @twin, i64 8)
@kinds = global { half, bfloat, x86_fp80, fp128, [2 x i16], <2 x i64>, float } { half 0xH3C00, bfloat 0xR3F80, x86_fp80 0xK3FFF8000000000000000, fp128 0xL00000000000000003FFF000000000000, [2 x i16] [i16 1, i16 2], <2 x i64> <i64 3, i64 4>, float 5.0 }
@raw = global [3 x i8] c"abc"

declare void @varied(i32, ...)
declare double @real(double)
declare i32 @__CxxFrameHandler3(...)

$other = comdat any
@sole = linkonce_odr global i32 0, comdat($other)
@owned_a = external global i32, !own !80
@owned_b = external global i32, !own !81
@owned_c = external global i32, !own !80
@owned_d = external global i32, !own !82

define i32 @extra(ptr %p, i32 %x, i32 %y) {
entry:
  %h1 = call i32 @pick(i32 signext %x, i32 %y)
  br label %next
next:
  %h2 = load i32, ptr %p, align 4, !noundef !30
  %h3 = load i32, ptr %p, align 4
  %ha = add i32 %x, 1
  %hb = add i32 %x, 2
  %h4 = call ptr @resolve()
  %h5 = select nnan i1 true, double 1.0, double 2.0
  %h6 = va_arg ptr %p, float
  %h7 = va_arg ptr %p, <4 x i32>
  store ptr @sole, ptr %p
  store ptr @owned_a, ptr %p
  store ptr @owned_b, ptr %p
  store ptr @owned_c, ptr %p
  store ptr @owned_d, ptr %p
  ret i32 %h1
}

declare i32 @pick(i32, i32)

define i32 @solo(i32 %only) {
  ret i32 %only
}

define void @hops(ptr %to) {
  indirectbr ptr %to, [label %u, label %v]
u:
  ret void
v:
  ret void
w:
  ret void
}

define void @switched() personality ptr @__CxxFrameHandler3 {
  invoke void @fast() to label %end unwind label %dispatch
dispatch:
  %s1 = catchswitch within none [label %h1, label %h2] unwind label %c1
h1:
  %s2 = catchpad within %s1 [ptr null, i32 64, ptr null]
  catchret from %s2 to label %end
h2:
  %s3 = catchpad within %s1 [ptr null, i32 64, ptr null]
  catchret from %s3 to label %end
h3:
  %s4 = catchpad within %s1 [ptr null, i32 64, ptr null]
  catchret from %s4 to label %end
c1:
  %s5 = cleanuppad within none []
  cleanupret from %s5 unwind to caller
c2:
  %s6 = cleanuppad within none []
  cleanupret from %s6 unwind to caller
end:
  ret void
}

define void @spaced() {
  ret void
}

define void @jump_a() {
  br label %there
there:
  ret void
}

define void @jump_b() {
  br label %there
there:
  ret void
}

@jumps = global [3 x ptr] [ptr blockaddress(@jump_a, %there), ptr blockaddress(@jump_b, %there), ptr blockaddress(@jump_a, %there)]

define void @block() {
alone:
  ret void
}

define void @located(ptr %p) {
  call void asm sideeffect "nop #2", ""(), !srcloc !95
  call void asm sideeffect "nop #2", ""(), !srcloc !96
  store i64 7001, ptr %p
  %y = call i32 @near(i32 1), !srcloc !97
  ret void
}

define void @relocated() {
  call void asm sideeffect "nop #3", ""(), !srcloc !95
  ret void
}

; more

attributes #1 = { nounwind }
attributes #3 = { "mark"="one" }
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
!80 = distinct !{!"own"}
!81 = distinct !{!"own"}
!82 = !{!80, !81, !80}
!95 = !{i64 7001}
!96 = !{i64 7003, i64 7010}
!97 = !{i64 7020}
