/*
 * The couriers of all types, and parcels without one (parcel.h).
 *
 * A row is written once and read without a lock: its type becomes visible last.
 */
#include "loader/ob/parcel.h"

#include <unistd.h>

#include "loader/ob/process_object.h"
#include "loader/ob/sync.h"

struct row {
    const struct ob_type *type;
    const struct ob_courier *courier;
};

static struct row rows[OB_TYPE_COUNT] = {
    [OB_TYPE_EVENT] = {&ob_event_type, &ob_event_courier},
    [OB_TYPE_SEMAPHORE] = {&ob_semaphore_type, &ob_semaphore_courier},
    [OB_TYPE_MUTEX] = {&ob_mutex_type, &ob_mutex_courier},
    [OB_TYPE_PROCESS] = {&ob_process_type, &ob_process_courier},
};

void ob_courier_register(uint32_t type_id, const struct ob_type *type,
                         const struct ob_courier *courier)
{
    if (type_id == OB_TYPE_NONE || type_id >= OB_TYPE_COUNT)
        return;
    __atomic_store_n(&rows[type_id].courier, courier, __ATOMIC_RELAXED);
    __atomic_store_n(&rows[type_id].type, type, __ATOMIC_RELEASE);
}

/* NULL = that type cannot leave its process. */
static const struct ob_courier *courier_of(uint32_t type_id, const struct ob_type **type)
{
    *type = __atomic_load_n(&rows[type_id].type, __ATOMIC_ACQUIRE);
    return *type ? __atomic_load_n(&rows[type_id].courier, __ATOMIC_RELAXED) : NULL;
}

void ob_parcel_discard(struct ob_parcel *parcel)
{
    for (uint32_t i = 0; i < parcel->fd_count && i < OB_PARCEL_FDS; i++)
        if (parcel->fds[i] >= 0)
            close(parcel->fds[i]);
    parcel->fd_count = 0;
}

nt_status ob_pack(struct ob_object *object, struct ob_parcel *parcel, struct pe_error *err)
{
    const struct ob_type *type;
    *parcel = (struct ob_parcel){.fds = {-1, -1, -1}};
    for (uint32_t id = OB_TYPE_NONE + 1; id < OB_TYPE_COUNT; id++) {
        const struct ob_courier *courier = courier_of(id, &type);
        if (!courier || type != object->type)
            continue;
        parcel->type = id;
        return courier->pack(object, parcel, err);
    }
    return pe_fail(err, STATUS_NOT_SUPPORTED,
                   "an object of type %s cannot be given to another process", object->type->name);
}

/* What every courier may rely on: counts within bounds, as many descriptors as announced. */
static bool is_sound(const struct ob_parcel *parcel)
{
    if (parcel->fd_count > OB_PARCEL_FDS || parcel->size > OB_PARCEL_SIZE)
        return false;
    for (uint32_t i = 0; i < parcel->fd_count; i++)
        if (parcel->fds[i] < 0)
            return false;
    return true;
}

nt_status ob_unpack(const struct ob_parcel *parcel, struct ob_object **out, struct pe_error *err)
{
    const struct ob_type *type;
    const struct ob_courier *courier =
        parcel->type < OB_TYPE_COUNT ? courier_of(parcel->type, &type) : NULL;
    if (courier && is_sound(parcel))
        return courier->unpack(parcel, out, err);
    struct ob_parcel refused = *parcel;
    ob_parcel_discard(&refused);
    return courier ? pe_fail(err, STATUS_INVALID_PARAMETER, "a malformed object from a process")
                   : pe_fail(err, STATUS_NOT_SUPPORTED,
                             "objects of type number %u cannot be taken from another process",
                             (unsigned)parcel->type);
}
