/*
 * The handle table as it was (ob/snapshot.h).
 */
#include "loader/ob/snapshot.h"

#include <stdlib.h>

#include "loader/ob/parcel.h"

struct kept_handle {
    uint32_t handle, access, flags;
    struct ob_object *object; /* with a reference */
};

struct ob_snapshot {
    struct kept_handle *handles; /* ascending */
    uint32_t count, room;
};

static nt_status add(struct ob_snapshot *list, const struct kept_handle *handle)
{
    if (list->count == list->room) {
        uint32_t room = list->room ? 2 * list->room : 32;
        struct kept_handle *grown = realloc(list->handles, room * sizeof(*grown));
        if (!grown)
            return STATUS_NO_MEMORY;
        list->handles = grown;
        list->room = room;
    }
    list->handles[list->count++] = *handle;
    return STATUS_SUCCESS;
}

static nt_status keep_handle(void *user, uint32_t handle, struct ob_object *object, uint32_t access,
                             uint32_t flags)
{
    struct kept_handle kept = {handle, access, flags, object};
    nt_status status = add(user, &kept);
    if (nt_ok(status))
        ob_object_ref(object);
    return status;
}

nt_status ob_snapshot_take(struct ob_snapshot **out, struct pe_error *err)
{
    struct ob_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    nt_status status =
        snapshot ? ob_handle_each(true, keep_handle, snapshot) : (nt_status)STATUS_NO_MEMORY;
    if (!nt_ok(status)) {
        ob_snapshot_drop(snapshot);
        snapshot = NULL;
        pe_fail(err, status, "no memory for a snapshot");
    }
    *out = snapshot;
    return status;
}

struct comparison {
    const struct ob_snapshot *kept;
    uint32_t next;           /* of the kept ones: the first that has not been met */
    struct ob_snapshot came; /* handles to close; they hold no reference */
    bool lost;               /* kept ones that are closed, or mean something else now */
};

static nt_status compare(void *user, uint32_t handle, struct ob_object *object, uint32_t access,
                         uint32_t flags)
{
    struct comparison *comparison = user;
    const struct ob_snapshot *kept = comparison->kept;
    for (; comparison->next < kept->count && kept->handles[comparison->next].handle < handle;
         comparison->next++)
        comparison->lost = true;
    const struct kept_handle *same = &kept->handles[comparison->next];
    bool known = comparison->next < kept->count && same->handle == handle;
    comparison->next += known;
    if (known && same->object == object && same->access == access) {
        if (same->flags != flags)
            ob_handle_flags(handle, UINT32_MAX, same->flags, NULL);
        return STATUS_SUCCESS;
    }
    comparison->lost |= known;
    struct kept_handle came = {.handle = handle};
    return add(&comparison->came, &came);
}

void ob_snapshot_reset(const struct ob_snapshot *snapshot)
{
    struct comparison comparison = {.kept = snapshot};
    ob_handle_each(true, compare, &comparison);
    comparison.lost |= comparison.next < snapshot->count;
    /* The lowest one is closed last and so used next, as it was. */
    for (uint32_t i = comparison.came.count; i-- > 0;) {
        uint32_t handle = comparison.came.handles[i].handle;
        ob_handle_flags(handle, UINT32_MAX, 0, NULL);
        ob_handle_close(handle);
    }
    free(comparison.came.handles);
    for (uint32_t i = 0; comparison.lost && i < snapshot->count; i++) {
        const struct kept_handle *kept = &snapshot->handles[i];
        ob_handle_insert(kept->handle, kept->object, kept->access, kept->flags);
    }
}

void ob_snapshot_drop(struct ob_snapshot *snapshot)
{
    if (!snapshot)
        return;
    for (uint32_t i = 0; i < snapshot->count; i++)
        ob_object_unref(snapshot->handles[i].object);
    free(snapshot->handles);
    free(snapshot);
}
