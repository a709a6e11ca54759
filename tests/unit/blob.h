/*
 * An object type for tests of parcels: a number in a memfd, which the courier sends.
 */
#ifndef TESTS_UNIT_BLOB_H
#define TESTS_UNIT_BLOB_H

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/mm/data.h"
#include "loader/ob/parcel.h"

#define BLOB_TYPE OB_TYPE_TEST

struct blob {
    struct ob_object object;
    int fd;
};

static int blobs_alive;

static void blob_destroy(struct ob_object *object)
{
    close(((struct blob *)object)->fd);
    blobs_alive--;
}

static const struct ob_type blob_type = {.name = "Blob", .destroy = blob_destroy};

static inline struct ob_object *blob_around(int fd)
{
    struct blob *blob = ob_object_create(&blob_type, sizeof *blob);
    blob->fd = fd;
    blobs_alive++;
    return &blob->object;
}

static inline struct ob_object *blob_create(uint32_t value)
{
    int fd = -1;
    if (!nt_ok(mm_host_memory("blob", 4096, true, &fd, NULL)) ||
        pwrite(fd, &value, sizeof value, 0) != sizeof value)
        abort();
    return blob_around(fd);
}

static inline uint32_t blob_value(struct ob_object *object)
{
    uint32_t value = 0;
    if (pread(((struct blob *)object)->fd, &value, sizeof value, 0) != sizeof value)
        abort();
    return value;
}

static nt_status blob_pack(struct ob_object *object, struct ob_parcel *parcel, struct pe_error *err)
{
    uint32_t value = blob_value(object);
    parcel->fds[0] = fcntl(((struct blob *)object)->fd, F_DUPFD_CLOEXEC, 3);
    if (parcel->fds[0] < 0)
        return STATUS_INSUFFICIENT_RESOURCES;
    parcel->fd_count = 1;
    parcel->size = sizeof value;
    memcpy(parcel->data, &value, sizeof value);
    return STATUS_SUCCESS;
}

/* Refuses a parcel that does not agree with itself. */
static nt_status blob_unpack(const struct ob_parcel *parcel, struct ob_object **out,
                             struct pe_error *err)
{
    uint32_t value = 0;
    if (parcel->fd_count != 1 || parcel->size != sizeof value ||
        pread(parcel->fds[0], &value, sizeof value, 0) != sizeof value ||
        memcmp(&value, parcel->data, sizeof value) != 0) {
        struct ob_parcel refused = *parcel;
        ob_parcel_discard(&refused);
        return STATUS_INVALID_PARAMETER;
    }
    *out = blob_around(parcel->fds[0]);
    return STATUS_SUCCESS;
}

static inline void blob_register(void)
{
    static const struct ob_courier courier = {.pack = blob_pack, .unpack = blob_unpack};
    ob_courier_register(BLOB_TYPE, &blob_type, &courier);
}

#endif
