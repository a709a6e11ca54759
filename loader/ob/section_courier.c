/*
 * Sections on their way to another process: by parcel, and as views that one process maps in
 * another (NtMapViewOfSection with a process handle).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/ob/process.h"
#include "loader/ob/runtime.h"
#include "loader/ob/section_object.h"

/* ---- parcels: fds[0] is the record, fds[1] the file -------------------------------------------
 */

static nt_status pack(struct ob_object *object, struct ob_parcel *parcel, struct pe_error *err)
{
    struct ob_section *section = (struct ob_section *)object;
    nt_status status = ob_record_pack(section->record, ob_section_record_type(), parcel, err);
    if (!nt_ok(status) || section->fd < 0)
        return status;
    int fd = fcntl(section->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        status = ob_fail_errno(err, errno, "cannot duplicate the descriptor of a section");
        ob_parcel_discard(parcel);
        return status;
    }
    parcel->fds[parcel->fd_count++] = fd;
    return STATUS_SUCCESS;
}

/* The sender's word that a descriptor is the section's file is not taken. */
static bool is_file_of(const struct ob_section *section, int fd)
{
    struct ob_section_file file;
    return ob_section_file_identify(fd, &file) && file.dev == section->dev &&
           file.ino == section->ino;
}

static nt_status unpack(const struct ob_parcel *parcel, struct ob_object **out,
                        struct pe_error *err)
{
    struct ob_section_parts parts = {parcel->fd_count > 1 ? parcel->fds[1] : -1, NULL};
    for (uint32_t i = 2; i < parcel->fd_count; i++)
        close(parcel->fds[i]);
    struct ob_object *object;
    nt_status status = ob_record_unpack(parcel, ob_section_record_type(), &object, err);
    if (!nt_ok(status)) {
        if (parts.fd >= 0)
            close(parts.fd);
        return status;
    }
    if (parts.fd >= 0 && !is_file_of((struct ob_section *)object, parts.fd)) {
        close(parts.fd);
        parts.fd = -1;
    }
    status = ob_section_ready((struct ob_section *)object, parts, err);
    if (nt_ok(status))
        *out = object;
    else
        ob_object_unref(object);
    return status == (nt_status)STATUS_RETRY ? (nt_status)STATUS_FILE_INVALID : status;
}

/* ---- views in another process
 * -------------------------------------------------------------------
 */

/* A request is one of these and the section's parcel. */
struct map_request {
    uint32_t access, protect;
    uint64_t base, limit, offset, size;
};
struct map_reply {
    uint64_t base, size;
};
_Static_assert(sizeof(struct map_request) == 40, "both word sizes agree");

static nt_status unpack_request(struct ob_message *request, struct map_request *map,
                                struct ob_object **section)
{
    struct ob_parcel parcel;
    if (!ob_message_get(request, map, sizeof *map))
        return STATUS_INVALID_PARAMETER;
    nt_status status = ob_message_take_parcel(request, sizeof *map, &parcel);
    if (nt_ok(status))
        status = ob_unpack(&parcel, section, NULL);
    if (!nt_ok(status) || (*section)->type == &ob_section_type)
        return status;
    ob_object_unref(*section);
    return STATUS_OBJECT_TYPE_MISMATCH;
}

static void serve_map(struct ob_message *request, struct ob_message *reply)
{
    struct map_request map;
    struct map_reply done;
    struct ob_object *section;
    reply->status = unpack_request(request, &map, &section);
    if (!nt_ok(reply->status))
        return;
    struct mm_data_map how = {.base = map.base,
                              .limit = map.limit,
                              .offset = map.offset,
                              .size = map.size,
                              .protect = map.protect};
    nt_status status = ob_section_map(section, map.access, &how, &done.base, &done.size, NULL);
    ob_object_unref(section);
    reply->status = nt_ok(status) ? ob_message_set(reply, &done, sizeof done) : status;
    if (nt_ok(reply->status))
        reply->status = status;
    else if (nt_ok(status))
        ob_section_unmap(done.base, NULL);
}

static void serve_unmap(struct ob_message *request, struct ob_message *reply)
{
    uint64_t address;
    bool whole = ob_message_get(request, &address, sizeof address);
    reply->status = whole ? ob_section_unmap(address, NULL) : (nt_status)STATUS_INVALID_PARAMETER;
}

nt_status ob_section_map_into(struct ob_object *process, struct ob_object *section, uint32_t access,
                              const struct mm_data_map *how, uint64_t *base, uint64_t *size,
                              struct pe_error *err)
{
    if (ob_process_is_current(process))
        return ob_section_map(section, access, how, base, size, err);
    struct map_request map = {.access = access,
                              .protect = how->protect,
                              .base = how->base,
                              .limit = how->limit,
                              .offset = how->offset,
                              .size = how->size};
    struct ob_message request = {.request = OB_REQUEST_MAP_VIEW}, reply = {0};
    struct ob_parcel parcel = {0};
    struct map_reply done;
    nt_status status = ob_pack(section, &parcel, err);
    if (!nt_ok(status))
        return status;
    status = ob_message_set(&request, &map, sizeof map);
    if (nt_ok(status))
        status = ob_message_put_parcel(&request, &parcel);
    else
        ob_parcel_discard(&parcel);
    if (nt_ok(status))
        status = ob_process_call(process, &request, &reply, err);
    if (nt_ok(status) && !ob_message_get(&reply, &done, sizeof done))
        status = STATUS_UNSUCCESSFUL;
    if (nt_ok(status)) {
        *base = done.base;
        *size = done.size;
    }
    ob_message_release(&request);
    ob_message_release(&reply);
    return status;
}

nt_status ob_section_unmap_from(struct ob_object *process, uint64_t address, struct pe_error *err)
{
    if (ob_process_is_current(process))
        return ob_section_unmap(address, err);
    struct ob_message request = {.request = OB_REQUEST_UNMAP_VIEW}, reply = {0};
    nt_status status = ob_message_set(&request, &address, sizeof address);
    if (nt_ok(status))
        status = ob_process_call(process, &request, &reply, err);
    ob_message_release(&request);
    ob_message_release(&reply);
    return status;
}

/* ---- registration -------------------------------------------------------------------------------
 */

static void register_once(void)
{
    static const struct ob_courier courier = {.pack = pack, .unpack = unpack};
    ob_courier_register(OB_TYPE_SECTION, &ob_section_type, &courier);
    ob_service_register(OB_REQUEST_MAP_VIEW, serve_map);
    ob_service_register(OB_REQUEST_UNMAP_VIEW, serve_unmap);
}

void ob_section_register(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_once);
}
