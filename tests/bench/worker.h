/*
 * One contender of a benchmark, in a process of its own (worker.c): what it loads and unloads, and
 * which part of that is timed.
 */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct options {
    const char *keep;           /* loaded all the time: what the image imports from */
    const char *symbol;         /* () -> int, called once after the first load ... */
    int value;                  /* ... and must return this */
    uint64_t taken, taken_size; /* the preferred base, which is somebody else's; 0 = free */
    bool forget;                /* what the cache has of it is removed before every run */
    bool wander;                /* another base at every load */
    bool fixups;                /* of a copy: it is relocated */
    bool touch;                 /* every page is read between load and unload */
    bool fresh;                 /* every load is the first one of a new process */
    char **arguments;           /* ends with NULL; the first is the image */
    int argument_count;
};

/* A range of the image's addresses, for who touches it. */
struct range {
    const volatile char *base;
    size_t size;
};

struct contender {
    const char *name;
    void (*prepare)(const struct options *options); /* once, not timed */
    bool inherited;       /* what it prepares is for all children, with --fresh */
    void (*before)(void); /* before each run, not timed; NULL = nothing */
    void (*load)(void);
    void (*unload)(void);
    struct range (*range)(void);     /* of what is loaded; NULL = not to be touched */
    void *(*find)(const char *name); /* an exported function; NULL = nothing to call */
    int (*call)(void *function);     /* by the image's calling convention */
};

/* Ends with NULL: those of this program. */
extern const struct contender *const contenders[];

/* Ends the process with a message. */
_Noreturn __attribute__((format(printf, 1, 2))) void fail(const char *format, ...);

#endif
