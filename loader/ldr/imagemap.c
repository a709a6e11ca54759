/*
 * The table behind imagemap.h: sorted by base, guarded by a sequence counter (odd = being written).
 *
 * A reader that meets a writer tries again. A table that grew is replaced by a larger copy; the old
 * one stays allocated, because a reader may still look at it, and is at most as large as its heir.
 */
#include "loader/ldr/imagemap.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "loader/ldr/module.h"
#include "pe/dirs.h"

struct table {
    struct table *older;
    uint32_t capacity;
    struct ldr_image_range ranges[];
};

static struct table *table;
static uint32_t count;
static uint32_t sequence;
/* A signal handler on the writer's own thread would wait for ever: it is told "no image". */
static __thread bool writing __attribute__((tls_model("initial-exec")));

/* Reads what a writer may be changing; the sequence counter throws a torn answer away. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RACY __attribute__((no_sanitize("thread")))
#endif
#endif
#ifndef RACY
#define RACY __attribute__((no_sanitize_thread))
#endif

RACY static bool find(const struct table *in, uint32_t length, uintptr_t address,
                      struct ldr_image_range *out)
{
    uint32_t low = 0, high = length;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct ldr_image_range *range = &in->ranges[middle];
        if (address < range->base) {
            high = middle;
        } else if (address - range->base >= range->size) {
            low = middle + 1;
        } else {
            if (out) {
                *out = *range;
            }
            return true;
        }
    }
    return false;
}

bool ldr_image_at(uintptr_t address, struct ldr_image_range *out)
{
    for (;;) {
        uint32_t before = __atomic_load_n(&sequence, __ATOMIC_ACQUIRE);
        if (before & 1) {
            if (writing) {
                return false;
            }
            sched_yield();
            continue;
        }
        const struct table *in = __atomic_load_n(&table, __ATOMIC_ACQUIRE);
        uint32_t length = __atomic_load_n(&count, __ATOMIC_RELAXED);
        bool found = in && length <= in->capacity && find(in, length, address, out);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&sequence, __ATOMIC_RELAXED) == before) {
            return found;
        }
    }
}

RACY static bool any_without(const struct table *in, uint32_t length, uint16_t characteristics)
{
    for (uint32_t i = 0; i < length; i++) {
        if (!in->ranges[i].builtin && (characteristics & ~in->ranges[i].characteristics)) {
            return true;
        }
    }
    return false;
}

bool ldr_image_any_without(uint16_t characteristics)
{
    for (;;) {
        uint32_t before = __atomic_load_n(&sequence, __ATOMIC_ACQUIRE);
        if (before & 1) {
            sched_yield();
            continue;
        }
        const struct table *in = __atomic_load_n(&table, __ATOMIC_ACQUIRE);
        uint32_t length = __atomic_load_n(&count, __ATOMIC_RELAXED);
        bool found = in && length <= in->capacity && any_without(in, length, characteristics);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&sequence, __ATOMIC_RELAXED) == before) {
            return found;
        }
    }
}

static void read_safe_seh(const struct pe_image *image, uintptr_t base, struct ldr_image_range *out)
{
    struct pe_load_config config;
    if (pe_pointer_size(image) != 4 || !pe_load_config_get(image, &config)) {
        return;
    }
    uint64_t offset = config.se_handler_table - base;
    out->has_safe_seh = config.se_handler_table != 0;
    if (out->has_safe_seh && config.se_handler_table >= base && offset < out->size &&
        config.se_handler_count <= (out->size - offset) / 4) {
        out->safe_seh = (uintptr_t)config.se_handler_table;
        out->safe_seh_count = (uint32_t)config.se_handler_count;
    }
}

static void describe(struct ldr_module *module, struct ldr_image_range *out)
{
    const struct pe_image *image = mm_view_image(module->view);
    struct pe_directory functions;
    *out = (struct ldr_image_range){
        .base = (uintptr_t)mm_view_base(module->view),
        .size = mm_view_size(module->view),
        .characteristics = image->h.dll_characteristics,
        .builtin = module->builtin != NULL,
        .module = module,
    };
    if (image->h.machine == LDR_HOST_MACHINE &&
        pe_directory_get(image, IMAGE_DIRECTORY_ENTRY_EXCEPTION, &functions) &&
        functions.rva < out->size && functions.size <= out->size - functions.rva) {
        out->functions_rva = functions.rva;
        out->functions_size = functions.size;
    }
    read_safe_seh(image, out->base, out);
}

static struct table *grown(void)
{
    uint32_t capacity = table ? table->capacity * 2 : 64;
    struct table *larger = calloc(1, sizeof *larger + capacity * sizeof larger->ranges[0]);
    if (larger) {
        larger->capacity = capacity;
        larger->older = table;
        if (table) {
            memcpy(larger->ranges, table->ranges, count * sizeof larger->ranges[0]);
        }
    }
    return larger;
}

static void begin_write(void)
{
    writing = true;
    __atomic_store_n(&sequence, sequence + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

static void end_write(void)
{
    __atomic_store_n(&sequence, sequence + 1, __ATOMIC_RELEASE);
    writing = false;
}

nt_status ldr_image_add(struct ldr_module *module, struct pe_error *err)
{
    struct ldr_image_range range;
    struct table *in = table && count < table->capacity ? table : grown();
    if (!in) {
        return pe_fail(err, STATUS_NO_MEMORY, "%s: no memory for the table of images",
                       module->name);
    }
    describe(module, &range);
    uint32_t at = count;
    while (at > 0 && in->ranges[at - 1].base > range.base) {
        at--;
    }
    begin_write();
    memmove(&in->ranges[at + 1], &in->ranges[at], (count - at) * sizeof range);
    in->ranges[at] = range;
    __atomic_store_n(&table, in, __ATOMIC_RELEASE);
    __atomic_store_n(&count, count + 1, __ATOMIC_RELAXED);
    end_write();
    return STATUS_SUCCESS;
}

void ldr_image_remove(uintptr_t base)
{
    uint32_t at = 0;
    while (at < count && table->ranges[at].base != base) {
        at++;
    }
    if (at == count) {
        return;
    }
    begin_write();
    memmove(&table->ranges[at], &table->ranges[at + 1], (count - at - 1) * sizeof table->ranges[0]);
    __atomic_store_n(&count, count - 1, __ATOMIC_RELAXED);
    end_write();
}
