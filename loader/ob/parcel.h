/*
 * Objects on their way to another process: inheritance and DuplicateHandle.
 *
 * A parcel says of which type an object is and what the other process needs to hold it as well:
 * bytes and descriptors. The descriptors of a parcel are duplicates that count as a holder by
 * themselves, so the object lives on when the sender dies before the receiver has opened it.
 */
#ifndef OB_PARCEL_H
#define OB_PARCEL_H

#include "loader/ob/object.h"

#define OB_PARCEL_FDS  3
#define OB_PARCEL_SIZE 512

/* The numbers by which types are known to other processes and in records; never used anew. */
enum ob_type_id {
    OB_TYPE_NONE, /* cannot leave its process */
    OB_TYPE_EVENT,
    OB_TYPE_SEMAPHORE,
    OB_TYPE_MUTEX,
    OB_TYPE_SECTION,
    OB_TYPE_PROCESS,
    OB_TYPE_FILE,
    OB_TYPE_TIMER,
    OB_TYPE_TEST = 31, /* what a unit test makes up */
    OB_TYPE_COUNT
};

struct ob_parcel {
    uint32_t type;     /* enum ob_type_id */
    uint32_t fd_count; /* <= OB_PARCEL_FDS */
    uint32_t size;     /* of `data` */
    int fds[OB_PARCEL_FDS];
    uint8_t data[OB_PARCEL_SIZE]; /* the type's own, fixed-width fields: both word sizes read it */
};

/* What a type does with parcels. */
struct ob_courier {
    /* Fills data and fds of a zeroed parcel; on failure it holds no descriptor. */
    nt_status (*pack)(struct ob_object *object, struct ob_parcel *parcel, struct pe_error *err);
    /*
     * The object of a parcel: a new reference, to the object that this process has already where
     * that is the same one. Takes the descriptors, on failure too. The bytes are those of another
     * process: checked.
     */
    nt_status (*unpack)(const struct ob_parcel *parcel, struct ob_object **out,
                        struct pe_error *err);
};
/* Once per type, before any parcel of it: rooms do it when they start (thread-safe). */
void ob_courier_register(uint32_t type_id, const struct ob_type *type,
                         const struct ob_courier *courier);

/* STATUS_NOT_SUPPORTED for a type without courier. */
nt_status ob_pack(struct ob_object *object, struct ob_parcel *parcel, struct pe_error *err);
nt_status ob_unpack(const struct ob_parcel *parcel, struct ob_object **out, struct pe_error *err);
/* Closes the descriptors of a parcel that nobody unpacks. */
void ob_parcel_discard(struct ob_parcel *parcel);

/* A handle with a value that another process chose (inheritance). STATUS_OBJECT_NAME_COLLISION when
 * it is in use, STATUS_INVALID_HANDLE when it is no handle value. */
nt_status ob_handle_insert(uint32_t handle, struct ob_object *object, uint32_t access,
                           uint32_t flags);
/*
 * Calls `visit` for every handle with the inherit flag (all: for every handle), with a reference to
 * its object held; stops at the first failure and returns it.
 */
typedef nt_status (*ob_handle_visit)(void *user, uint32_t handle, struct ob_object *object,
                                     uint32_t access, uint32_t flags);
nt_status ob_handle_each(bool all, ob_handle_visit visit, void *user);

#endif
