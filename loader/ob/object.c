/*
 * Reference-counted objects (Windows Internals, "Object Manager": object header and type).
 *
 * Counting is atomic, so references move between threads freely; whoever drops the last one runs
 * the type's destroy() and must therefore hold neither the wait lock nor the lock of the handle
 * table.
 */
#include "loader/ob/object.h"

#include <assert.h>
#include <stdlib.h>

void *ob_object_create(const struct ob_type *type, uint64_t size)
{
    assert(size >= sizeof(struct ob_object));
    struct ob_object *object = size <= SIZE_MAX ? calloc(1, (size_t)size) : NULL;
    if (!object)
        return NULL;
    object->type = type;
    object->references = 1;
    return object;
}

void ob_object_ref(struct ob_object *object)
{
    __atomic_add_fetch(&object->references, 1, __ATOMIC_RELAXED);
}

void ob_object_unref(struct ob_object *object)
{
    if (__atomic_sub_fetch(&object->references, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    if (object->type->destroy)
        object->type->destroy(object);
    free(object);
}
