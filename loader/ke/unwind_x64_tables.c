/*
 * RtlLookupFunctionEntry and the tables that programs add for code they make.
 *
 * An image's table is searched where it lies, when it is asked for, so that what a program has
 * written into it counts (behaviours, exceptions). Dynamic tables are a list under a lock; a
 * callback is called without it.
 */
#include "loader/ke/unwind_x64.h"

#ifdef __x86_64__

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "loader/ke/probe.h"
#include "loader/ldr/imagemap.h"

#define INDIRECT 1u /* UnwindData names another function entry */

/* ---- searching one table -----------------------------------------------------------------------
 */

static const struct ke_runtime_function *at(uint64_t table, uint32_t index)
{
    return (const struct ke_runtime_function *)(table + (uint64_t)index *
                                                            sizeof(struct ke_runtime_function));
}

/* The entry of `rva` in a sorted table, NULL = none. */
static const struct ke_runtime_function *search_sorted(uint64_t table, uint32_t count, uint32_t rva,
                                                       struct ke_runtime_function *found)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (!ke_probe(found, (uintptr_t)at(table, middle), sizeof(*found)))
            return NULL;
        if (rva < found->BeginAddress)
            high = middle;
        else if (rva >= found->EndAddress)
            low = middle + 1;
        else
            return at(table, middle);
    }
    return NULL;
}

static const struct ke_runtime_function *search_all(uint64_t table, uint32_t count, uint32_t rva,
                                                    struct ke_runtime_function *found)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!ke_probe(found, (uintptr_t)at(table, i), sizeof(*found)))
            return NULL;
        if (rva >= found->BeginAddress && rva < found->EndAddress)
            return at(table, i);
    }
    return NULL;
}

static const struct ke_runtime_function *search_image(const struct ldr_image_range *image,
                                                      uint64_t pc)
{
    struct ke_runtime_function found;
    uint32_t count = image->functions_size / sizeof(found);
    const struct ke_runtime_function *entry = search_sorted(
        image->base + image->functions_rva, count, (uint32_t)(pc - image->base), &found);
    if (!entry || !(found.UnwindData & INDIRECT))
        return entry;
    uint32_t other = found.UnwindData & ~INDIRECT;
    if (other > image->size || image->size - other < sizeof(found))
        return NULL;
    return (const struct ke_runtime_function *)(image->base + other);
}

/* ---- tables of programs ------------------------------------------------------------------------
 */

struct dynamic {
    struct dynamic *next;
    uint64_t identifier; /* by which it is deleted */
    uint64_t table, image_base, begin, end;
    uint32_t count, maximum;
    bool sorted, growable;
    ke_function_table_callback callback;
    void *context;
};

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static struct dynamic *tables;

/* A report of a crash inside of a change must not wait for that change to end. */
static bool lock_for_reading(void)
{
    for (int i = 0; i < 10000; i++) {
        if (pthread_rwlock_tryrdlock(&lock) == 0)
            return true;
        sched_yield();
    }
    return false;
}

static bool find_dynamic(uint64_t pc, struct dynamic *out)
{
    bool found = false;
    if (!__atomic_load_n(&tables, __ATOMIC_ACQUIRE) || !lock_for_reading())
        return false;
    for (struct dynamic *table = tables; table && !found; table = table->next) {
        found = pc >= table->begin && pc < table->end;
        if (found)
            *out = *table;
    }
    pthread_rwlock_unlock(&lock);
    return found;
}

static const struct ke_runtime_function *lookup_dynamic(uint64_t pc, uint64_t *image_base)
{
    struct dynamic table;
    struct ke_runtime_function found;
    if (!find_dynamic(pc, &table))
        return NULL;
    *image_base = table.image_base;
    if (table.callback)
        return table.callback(pc, table.context);
    return (table.sorted ? search_sorted : search_all)(table.table, table.count,
                                                       (uint32_t)(pc - table.image_base), &found);
}

const struct ke_runtime_function *WINAPI_DEF ke_lookup_function_entry(uint64_t pc,
                                                                      uint64_t *image_base,
                                                                      void *history_table)
{
    struct ldr_image_range image;
    *image_base = 0;
    if (!ldr_image_at(pc, &image))
        return lookup_dynamic(pc, image_base);
    *image_base = image.base;
    return search_image(&image, pc);
}

static bool add(const struct dynamic *what, void **handle)
{
    struct dynamic *table = malloc(sizeof(*table));
    if (!table)
        return false;
    *table = *what;
    if (handle)
        *handle = table;
    pthread_rwlock_wrlock(&lock);
    table->next = tables;
    __atomic_store_n(&tables, table, __ATOMIC_RELEASE);
    pthread_rwlock_unlock(&lock);
    return true;
}

/* By identifier, or the growable one that is at `handle`. */
static bool remove_table(uint64_t identifier, const void *handle)
{
    pthread_rwlock_wrlock(&lock);
    struct dynamic **link = &tables, *table;
    while ((table = *link) && (handle ? table != handle || !table->growable
                                      : table->growable || table->identifier != identifier))
        link = &table->next;
    if (table)
        __atomic_store_n(link, table->next, __ATOMIC_RELEASE);
    pthread_rwlock_unlock(&lock);
    free(table);
    return table != NULL;
}

uint8_t WINAPI_DEF ke_add_function_table(struct ke_runtime_function *table, uint32_t count,
                                         uint64_t base)
{
    struct dynamic what = {
        .identifier = (uintptr_t)table,
        .table = (uintptr_t)table,
        .image_base = base,
        .begin = UINT64_MAX,
        .count = count,
        .sorted = true,
    };
    for (uint32_t i = 0; i < count; i++) {
        if (base + table[i].BeginAddress < what.begin)
            what.begin = base + table[i].BeginAddress;
        if (base + table[i].EndAddress > what.end)
            what.end = base + table[i].EndAddress;
        if (i > 0 && table[i].BeginAddress < table[i - 1].BeginAddress)
            what.sorted = false;
    }
    return add(&what, NULL);
}

uint8_t WINAPI_DEF ke_delete_function_table(struct ke_runtime_function *table)
{
    return remove_table((uintptr_t)table, NULL);
}

uint8_t WINAPI_DEF ke_install_function_table_callback(uint64_t identifier, uint64_t base,
                                                      uint32_t length,
                                                      ke_function_table_callback callback,
                                                      void *context, const uint16_t *out_of_process)
{
    if ((identifier & 3) != 3) /* documented: tells it from a table's address */
        return false;
    struct dynamic what = {
        .identifier = identifier,
        .image_base = base,
        .begin = base,
        .end = base + length,
        .callback = callback,
        .context = context,
    };
    return add(&what, NULL);
}

uint32_t WINAPI_DEF ke_add_growable_function_table(void **handle, struct ke_runtime_function *table,
                                                   uint32_t count, uint32_t maximum, uint64_t begin,
                                                   uint64_t end)
{
    struct dynamic what = {
        .table = (uintptr_t)table,
        .image_base = begin,
        .begin = begin,
        .end = end,
        .count = count,
        .maximum = maximum,
        .sorted = true,
        .growable = true,
    };
    if (!handle || !table || count > maximum || begin >= end)
        return (uint32_t)STATUS_INVALID_PARAMETER;
    return add(&what, handle) ? STATUS_SUCCESS : (uint32_t)STATUS_NO_MEMORY;
}

void WINAPI_DEF ke_grow_function_table(void *handle, uint32_t count)
{
    pthread_rwlock_wrlock(&lock);
    for (struct dynamic *table = tables; table; table = table->next)
        if (table == handle && table->growable && count >= table->count && count <= table->maximum)
            table->count = count;
    pthread_rwlock_unlock(&lock);
}

void WINAPI_DEF ke_delete_growable_function_table(void *handle)
{
    remove_table(0, handle);
}

#endif
