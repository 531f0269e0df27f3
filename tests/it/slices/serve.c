/* Preloaded into an LLVM tool: starts it once and runs its main in a child for each line of stdin, so that loading and
   relocating its libraries is paid for once. A line is a directory, a file for stderr and the arguments from the
   tool's name on, between characters of code 31; the answer is the exit code. The code of large libraries is moved into
   huge pages, which a child gets with the fork: it would have to fault all pages of a file in again. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

typedef int (*main_function)(int, char **, char **);
typedef int (*start_function)(main_function, int, char **, void (*)(void), void (*)(void), void (*)(void), void *);

static main_function tool;

static const uintptr_t huge = 2 << 20;

static int move(struct dl_phdr_info *library, size_t size, void *nothing) {
  (void)size, (void)nothing;
  for (int number = 0; number < library->dlpi_phnum; number++) {
    const ElfW(Phdr) *part = &library->dlpi_phdr[number];
    uintptr_t start = library->dlpi_addr + part->p_vaddr, end = start + part->p_memsz;
    if (part->p_type != PT_LOAD || (part->p_flags & PF_W)) continue;
    start = (start + huge - 1) & -huge, end &= -huge;
    if (start >= end) continue;
    char *space = mmap(NULL, end - start + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (space == MAP_FAILED) continue;
    char *copy = (char *)(((uintptr_t)space + huge - 1) & -huge);
    madvise(copy, end - start, MADV_HUGEPAGE);
    memcpy(copy, (void *)start, end - start);
    mprotect(copy, end - start, PROT_READ | (part->p_flags & PF_X ? PROT_EXEC : 0));
    mremap(copy, end - start, end - start, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)start);
  }
  return 0;
}

static int serve(int argc, char **argv, char **environment) {
  char *line = NULL;
  size_t size = 0;
  (void)argc, (void)argv;
  unsetenv("LD_PRELOAD");
  dl_iterate_phdr(move, NULL);
  for (;;) {
    ssize_t length = getline(&line, &size, stdin);
    if (length <= 0) return 0;
    line[length - 1] = 0;
    char *words[512];
    int count = 0, status = 0;
    for (char *word = strtok(line, "\x1f"); word && count < 511; word = strtok(NULL, "\x1f")) words[count++] = word;
    words[count] = NULL;
    pid_t child = fork();
    if (child == 0) {
      int nothing = open("/dev/null", O_RDWR), messages;
      dup2(nothing, 0), dup2(nothing, 1);
      if (chdir(words[0])) _exit(99);
      messages = open(words[1], O_WRONLY | O_CREAT | O_TRUNC, 0600);
      dup2(messages, 2);
      exit(tool(count - 2, words + 2, environment));
    }
    waitpid(child, &status, 0);
    printf("%d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 255);
    fflush(stdout);
  }
}

int __libc_start_main(main_function main, int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*loader_fini)(void), void *stack_end) {
  start_function start = (start_function)dlsym(RTLD_NEXT, "__libc_start_main");
  tool = main;
  return start(serve, argc, argv, init, fini, loader_fini, stack_end);
}
