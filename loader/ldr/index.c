/*
 * Hash tables over the listed modules (index.h).
 *
 * The chains go through the records, so that listing a module cannot fail. Every chain is in load
 * order: several modules may have one base name, and the first is the one that is meant.
 */
#include "loader/ldr/index.h"

#include <string.h>

#include "loader/ldr/path.h"

#define BUCKETS 256u

/* One table a way of asking. */
static struct ldr_module *tables[LDR_INDEX_COUNT][BUCKETS];

/* Fibonacci hashing: the upper bits of the product depend on all bits of the key. */
static uint32_t bucket_of(uint64_t key)
{
    return (uint32_t)(key * 0x9E3779B97F4A7C15u >> 56) % BUCKETS;
}

static uint32_t name_bucket(const char *name)
{
    return bucket_of(ldr_casehash(name, strlen(name)));
}

static uint32_t file_bucket(const struct mm_file_id *file)
{
    return bucket_of(file->ino + ((uint64_t)file->dev << 32));
}

static uint32_t record_bucket(const struct ldr_module *module)
{
    return bucket_of((uintptr_t)module);
}

/* The bucket of a module in each table; false when it is not in that one. */
static bool bucket_in(const struct ldr_module *module, enum ldr_index index, uint32_t *bucket)
{
    switch (index) {
    case LDR_INDEX_NAME:
        *bucket = name_bucket(module->name);
        return module->kind == LDR_KIND_IMAGE;
    case LDR_INDEX_FILE:
        *bucket = file_bucket(&module->file);
        return module->kind == LDR_KIND_IMAGE && module->has_file;
    default:
        *bucket = record_bucket(module);
        return true;
    }
}

void ldr_index_add(struct ldr_module *module, bool first)
{
    for (enum ldr_index index = 0; index < LDR_INDEX_COUNT; index++) {
        uint32_t bucket;
        if (!bucket_in(module, index, &bucket)) {
            continue;
        }
        struct ldr_module **at = &tables[index][bucket];
        while (*at && !first) {
            at = &(*at)->chain[index];
        }
        module->chain[index] = *at;
        *at = module;
    }
}

void ldr_index_remove(struct ldr_module *module)
{
    for (enum ldr_index index = 0; index < LDR_INDEX_COUNT; index++) {
        uint32_t bucket;
        if (!bucket_in(module, index, &bucket)) {
            continue;
        }
        struct ldr_module **at = &tables[index][bucket];
        while (*at && *at != module) {
            at = &(*at)->chain[index];
        }
        if (*at) {
            *at = module->chain[index];
        }
    }
}

struct ldr_module *ldr_index_name(const char *base_name)
{
    struct ldr_module *module = tables[LDR_INDEX_NAME][name_bucket(base_name)];
    while (module && ldr_casecmp(module->name, base_name) != 0) {
        module = module->chain[LDR_INDEX_NAME];
    }
    return module;
}

struct ldr_module *ldr_index_file(const struct mm_file_id *file)
{
    struct ldr_module *module = tables[LDR_INDEX_FILE][file_bucket(file)];
    while (module && (module->file.dev != file->dev || module->file.ino != file->ino)) {
        module = module->chain[LDR_INDEX_FILE];
    }
    return module;
}

bool ldr_index_has(const struct ldr_module *module)
{
    const struct ldr_module *known = tables[LDR_INDEX_RECORD][record_bucket(module)];
    while (known && known != module) {
        known = known->chain[LDR_INDEX_RECORD];
    }
    return known != NULL;
}
