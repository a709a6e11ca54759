/*
 * Built images that hold everything that pe/ parses: where fuzzing starts, and what truncation
 * tests cut. A table of makers; each gives malloc'ed bytes.
 */
#ifndef TESTS_SEEDS_H
#define TESTS_SEEDS_H

#include <stdint.h>

struct seed {
    const char *name;
    uint8_t *(*make)(uint64_t *size);
};
extern const struct seed seeds[];
extern const uint32_t seed_count;

#endif
