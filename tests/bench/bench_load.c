/*
 * Load + unload of one image, as ratios in one run: peldr against dlopen of the same code as an ELF
 * library, and against a plain copy of the file's bytes into fresh memory. Contenders take turns,
 * the minimum over the rounds counts: these machines are noisy. With --second another process has
 * the image loaded all the time, whose image section object the loads find.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "loader/peldr.h"

enum { ROUNDS = 2000 };

static const char *pe_path, *elf_path;

static void load_pe(void)
{
    peldr_module *module = peldr_open(pe_path, 0);
    if (!module || peldr_close(module) != 0) {
        fprintf(stderr, "%s\n", peldr_error());
        exit(1);
    }
}

static void map_pe(void)
{
    peldr_module *module = peldr_open(pe_path, PELDR_MAP_ONLY);
    if (!module || peldr_close(module) != 0) {
        fprintf(stderr, "%s\n", peldr_error());
        exit(1);
    }
}

static void load_elf(void)
{
    void *library = dlopen(elf_path, RTLD_NOW | RTLD_LOCAL);
    if (!library || dlclose(library) != 0) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
}

static void copy_bytes(void)
{
    struct stat st;
    int fd = open(pe_path, O_RDONLY | O_CLOEXEC);
    void *memory;
    if (fd < 0 || fstat(fd, &st) != 0)
        exit(1);
    memory =
        mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || read(fd, memory, (size_t)st.st_size) != st.st_size)
        exit(1);
    munmap(memory, (size_t)st.st_size);
    close(fd);
}

static const struct contender {
    const char *name;
    void (*run)(void);
} contenders[] = {{"dlopen of the ELF twin", load_elf},
                  {"peldr_open", load_pe},
                  {"peldr_open, MAP_ONLY", map_pe},
                  {"byte copy", copy_bytes}};
enum { CONTENDERS = sizeof contenders / sizeof *contenders };

/* A process that keeps the image loaded until this one ends. */
static void start_holder(void)
{
    int ready[2];
    char c;
    if (pipe(ready) != 0)
        exit(1);
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!peldr_open(pe_path, 0) || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    if (read(ready[0], &c, 1) != 1) {
        fprintf(stderr, "the holder could not load %s\n", pe_path);
        exit(1);
    }
}

static double once(const struct contender *contender)
{
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    contender->run();
    clock_gettime(CLOCK_MONOTONIC, &b);
    return (double)(b.tv_sec - a.tv_sec) * 1e6 + (double)(b.tv_nsec - a.tv_nsec) / 1e3;
}

int main(int argc, char **argv)
{
    double best[CONTENDERS];
    if (argc < 3)
        return 2;
    pe_path = argv[1];
    elf_path = argv[2];
    if (argc > 3 && strcmp(argv[3], "--second") == 0)
        start_holder();
    for (int i = 0; i < CONTENDERS; i++)
        best[i] = once(&contenders[i]); /* and warms up */
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < CONTENDERS; i++) {
            double t = once(&contenders[(i + round) % CONTENDERS]);
            if (t < best[(i + round) % CONTENDERS])
                best[(i + round) % CONTENDERS] = t;
        }
    printf("%-24s %10s %8s\n", "load + unload", "min us", "ratio");
    for (int i = 0; i < CONTENDERS; i++)
        printf("%-24s %10.1f %8.2f\n", contenders[i].name, best[i], best[i] / best[0]);
    return 0;
}
