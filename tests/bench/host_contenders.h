/* The contenders that need no libpeldr. */
#ifndef BENCH_HOST_CONTENDERS_H
#define BENCH_HOST_CONTENDERS_H

#include "tests/bench/worker.h"

extern const struct contender contender_dlopen, contender_dlsym; /* worker_dlopen.c */
extern const struct contender contender_copy, contender_floor;   /* worker_copy.c */
extern const struct contender contender_file, contender_read;
extern const struct contender contender_spawn; /* worker_spawn.c */

#endif
