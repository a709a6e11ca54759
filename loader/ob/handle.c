/*
 * The process's handle table (Windows Internals, "Handles and the Process Handle Table").
 *
 * A handle is an index times 4, the first one 4; Windows ignores the two low bits of a handle,
 * which programs use as tags, and so does every function here. Freed entries are used again, the
 * last freed first.
 */
#include <pthread.h>
#include <stdlib.h>

#include "loader/ob/object.h"

/* Windows allows 2^24; a program that leaks handles is stopped before it holds 16 MiB of table. */
#define MAX_HANDLES  (1u << 20)
#define FIRST_GROWTH 64u

#define HANDLE_FLAG_PROTECT_FROM_CLOSE 2u
#define HANDLE_FLAGS                   3u

struct handle_entry {
    struct ob_object *object; /* NULL = free */
    uint32_t access;
    uint32_t flags_or_next; /* of a free entry: index of the next free one */
};

static struct {
    pthread_mutex_t lock;
    struct handle_entry *entries;
    uint32_t count;      /* entries allocated */
    uint32_t first_free; /* == count: none */
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Table lock held. */
static bool grow(void)
{
    uint32_t count = table.count ? table.count * 2 : FIRST_GROWTH;
    if (count > MAX_HANDLES)
        return false;
    struct handle_entry *entries = realloc(table.entries, count * sizeof *entries);
    if (!entries)
        return false;
    for (uint32_t i = table.count; i < count; i++)
        entries[i] = (struct handle_entry){.flags_or_next = i + 1};
    table.first_free = table.count;
    table.entries = entries;
    table.count = count;
    return true;
}

/* Table lock held. NULL when the handle is not open. */
static struct handle_entry *entry_of(uint32_t handle)
{
    uint32_t index = handle / 4 - 1; /* handles 0-3 wrap beyond any table */
    if (index >= table.count || !table.entries[index].object)
        return NULL;
    return &table.entries[index];
}

uint32_t ob_handle_create(struct ob_object *object, uint32_t access, uint32_t flags)
{
    uint32_t handle = 0;
    pthread_mutex_lock(&table.lock);
    if (table.first_free < table.count || grow()) {
        uint32_t index = table.first_free;
        struct handle_entry *entry = &table.entries[index];
        table.first_free = entry->flags_or_next;
        ob_object_ref(object);
        *entry = (struct handle_entry){object, access, flags & HANDLE_FLAGS};
        handle = (index + 1) * 4;
    }
    pthread_mutex_unlock(&table.lock);
    return handle;
}

nt_status ob_handle_close(uint32_t handle)
{
    nt_status status = STATUS_INVALID_HANDLE;
    struct ob_object *object = NULL;

    pthread_mutex_lock(&table.lock);
    struct handle_entry *entry = entry_of(handle);
    if (entry && (entry->flags_or_next & HANDLE_FLAG_PROTECT_FROM_CLOSE)) {
        status = STATUS_HANDLE_NOT_CLOSABLE;
    } else if (entry) {
        status = STATUS_SUCCESS;
        object = entry->object;
        *entry = (struct handle_entry){.flags_or_next = table.first_free};
        table.first_free = (uint32_t)(entry - table.entries);
    }
    pthread_mutex_unlock(&table.lock);
    if (object)
        ob_object_unref(object);
    return status;
}

nt_status ob_handle_get(uint32_t handle, const struct ob_type *type, struct ob_object **out,
                        uint32_t *access)
{
    nt_status status = STATUS_SUCCESS;

    pthread_mutex_lock(&table.lock);
    const struct handle_entry *entry = entry_of(handle);
    if (!entry) {
        status = STATUS_INVALID_HANDLE;
    } else if (type && entry->object->type != type) {
        status = STATUS_OBJECT_TYPE_MISMATCH;
    } else {
        ob_object_ref(entry->object);
        *out = entry->object;
        if (access)
            *access = entry->access;
    }
    pthread_mutex_unlock(&table.lock);
    return status;
}

nt_status ob_handle_flags(uint32_t handle, uint32_t mask, uint32_t flags, uint32_t *old)
{
    pthread_mutex_lock(&table.lock);
    struct handle_entry *entry = entry_of(handle);
    if (entry) {
        if (old)
            *old = entry->flags_or_next;
        mask &= HANDLE_FLAGS;
        entry->flags_or_next = (entry->flags_or_next & ~mask) | (flags & mask);
    }
    pthread_mutex_unlock(&table.lock);
    return entry ? STATUS_SUCCESS : STATUS_INVALID_HANDLE;
}
