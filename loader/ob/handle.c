/*
 * The process's handle table (Windows Internals, "Handles and the Process Handle Table").
 *
 * A handle is an index times 4, the first one 4; Windows ignores the two low bits of a handle,
 * which programs use as tags, and so does every function here. Freed entries are used again, the
 * last freed first. The free ones are linked both ways, so that an inherited handle can have the
 * value that it has in the parent.
 */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "loader/ob/parcel.h"

/* Windows allows 2^24; a program that leaks handles is stopped before it holds 16 MiB of table. */
#define MAX_HANDLES  (1u << 20)
#define FIRST_GROWTH 64u

#define HANDLE_FLAG_INHERIT            1u
#define HANDLE_FLAG_PROTECT_FROM_CLOSE 2u
#define HANDLE_FLAGS                   3u

#define NO_ENTRY UINT32_MAX

struct handle_entry {
    struct ob_object *object; /* NULL = free */
    union {
        uint32_t access;
        uint32_t previous; /* of a free entry: index of the free one before it */
    };
    union {
        uint32_t flags;
        uint32_t next; /* of a free entry */
    };
};

static struct {
    pthread_mutex_t lock;
    struct handle_entry *entries;
    uint32_t count; /* entries allocated */
    uint32_t first_free, last_free;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER, .first_free = NO_ENTRY, .last_free = NO_ENTRY};

/* ---- free entries; table lock held -------------------------------------------------------------
 */

/* Appends [first, end): what was free before is used before. */
static void append_free(uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end; i++)
        table.entries[i] = (struct handle_entry){.previous = i - 1, .next = i + 1};
    table.entries[first].previous = table.last_free;
    table.entries[end - 1].next = NO_ENTRY;
    if (table.last_free == NO_ENTRY)
        table.first_free = first;
    else
        table.entries[table.last_free].next = first;
    table.last_free = end - 1;
}

static void put_free(uint32_t index)
{
    table.entries[index] = (struct handle_entry){.previous = NO_ENTRY, .next = table.first_free};
    if (table.first_free == NO_ENTRY)
        table.last_free = index;
    else
        table.entries[table.first_free].previous = index;
    table.first_free = index;
}

static void take_free(uint32_t index)
{
    const struct handle_entry *entry = &table.entries[index];
    if (entry->previous == NO_ENTRY)
        table.first_free = entry->next;
    else
        table.entries[entry->previous].next = entry->next;
    if (entry->next == NO_ENTRY)
        table.last_free = entry->previous;
    else
        table.entries[entry->next].previous = entry->previous;
}

/* Doubles the table until it has an entry `index`. */
static bool grow(uint32_t index)
{
    uint32_t count = table.count ? table.count * 2 : FIRST_GROWTH;
    while (count <= index && count < MAX_HANDLES)
        count *= 2;
    if (count > MAX_HANDLES || index >= count)
        return false;
    struct handle_entry *entries = realloc(table.entries, count * sizeof *entries);
    if (!entries)
        return false;
    table.entries = entries;
    append_free(table.count, count);
    table.count = count;
    return true;
}

static void occupy(uint32_t index, struct ob_object *object, uint32_t access, uint32_t flags)
{
    take_free(index);
    ob_object_ref(object);
    struct handle_entry *entry = &table.entries[index];
    entry->object = object;
    entry->access = access;
    entry->flags = flags & HANDLE_FLAGS;
}

/* ---- handles -----------------------------------------------------------------------------------
 */

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
    if (table.first_free != NO_ENTRY || grow(table.count)) {
        uint32_t index = table.first_free;
        occupy(index, object, access, flags);
        handle = (index + 1) * 4;
    }
    pthread_mutex_unlock(&table.lock);
    return handle;
}

nt_status ob_handle_insert(uint32_t handle, struct ob_object *object, uint32_t access,
                           uint32_t flags)
{
    uint32_t index = handle / 4 - 1;
    nt_status status = STATUS_SUCCESS;
    if (handle % 4 != 0 || index >= MAX_HANDLES)
        return STATUS_INVALID_HANDLE;
    pthread_mutex_lock(&table.lock);
    if (index >= table.count && !grow(index))
        status = STATUS_NO_MEMORY;
    else if (table.entries[index].object)
        status = STATUS_OBJECT_NAME_COLLISION;
    else
        occupy(index, object, access, flags);
    pthread_mutex_unlock(&table.lock);
    return status;
}

/* The next handle from `*index` on that is to be visited, with a reference; false = none left. */
static bool next_handle(bool all, uint32_t *index, struct handle_entry *out)
{
    bool found = false;
    pthread_mutex_lock(&table.lock);
    for (; !found && *index < table.count; ++*index) {
        *out = table.entries[*index];
        found = out->object && (all || (out->flags & HANDLE_FLAG_INHERIT));
    }
    if (found)
        ob_object_ref(out->object);
    pthread_mutex_unlock(&table.lock);
    return found;
}

nt_status ob_handle_each(bool all, ob_handle_visit visit, void *user)
{
    struct handle_entry entry;
    nt_status status = STATUS_SUCCESS;
    for (uint32_t index = 0; nt_ok(status) && next_handle(all, &index, &entry);) {
        status = visit(user, index * 4, entry.object, entry.access, entry.flags);
        ob_object_unref(entry.object);
    }
    return status;
}

/* The lock may belong to a thread that is suspended for good, or be this one's as it crashed. */
static bool lock_table_soon(void)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int attempt = 0; attempt < 1000; attempt++) {
        if (pthread_mutex_trylock(&table.lock) == 0)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

void ob_handle_leave(void)
{
    if (!lock_table_soon())
        return;
    for (uint32_t i = 0; i < table.count; i++) {
        struct ob_object *object = table.entries[i].object;
        if (object && object->type->leave)
            object->type->leave(object);
    }
    pthread_mutex_unlock(&table.lock);
}

__attribute__((destructor)) static void leave_at_exit(void)
{
    ob_handle_leave();
}

nt_status ob_handle_close(uint32_t handle)
{
    nt_status status = STATUS_INVALID_HANDLE;
    struct ob_object *object = NULL;

    pthread_mutex_lock(&table.lock);
    struct handle_entry *entry = entry_of(handle);
    if (entry && (entry->flags & HANDLE_FLAG_PROTECT_FROM_CLOSE)) {
        status = STATUS_HANDLE_NOT_CLOSABLE;
    } else if (entry) {
        status = STATUS_SUCCESS;
        object = entry->object;
        put_free((uint32_t)(entry - table.entries));
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
            *old = entry->flags;
        mask &= HANDLE_FLAGS;
        entry->flags = (entry->flags & ~mask) | (flags & mask);
    }
    pthread_mutex_unlock(&table.lock);
    return entry ? STATUS_SUCCESS : STATUS_INVALID_HANDLE;
}
