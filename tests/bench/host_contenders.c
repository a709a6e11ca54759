/* The contenders of the worker without libpeldr. */
#include "tests/bench/host_contenders.h"

const struct contender *const contenders[] = {
    &contender_dlopen, &contender_dlsym, &contender_copy,  &contender_floor,
    &contender_file,   &contender_read,  &contender_spawn, NULL};
