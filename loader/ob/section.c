/*
 * Section objects (section.h): their record, and what a process makes of it.
 *
 * The record is the same for everybody; a process that comes to it by name or by parcel makes its
 * own mm_data or mm_section from it when it first has to. Views hold those and not the object, so
 * that the name goes with the last handle while views stay.
 */
#include "loader/ob/section.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "loader/ob/fileshare.h"
#include "loader/ob/image_registry.h"
#include "loader/ob/runtime.h"
#include "loader/ob/section_object.h"
#include "loader/ob/section_rules.h"

enum { PAGE = 0x1000, GRANULARITY = 0x10000 };

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) & ~(unit - 1);
}

/* ---- the record -------------------------------------------------------------------------------
 */

static bool body_makes_sense(const struct ob_section_body *body)
{
    uint64_t commit = body->attributes & SEC_RESERVE && body->kind == OB_SECTION_PAGING
                          ? round_up(round_up(body->size, PAGE) / PAGE / 8 + 1, GRANULARITY)
                          : 0;
    return body->magic == OB_SECTION_MAGIC && body->kind >= OB_SECTION_PAGING &&
           body->kind <= OB_SECTION_IMAGE && body->size != 0 && body->size <= OB_SECTION_MAX &&
           body->commit_size == commit && nt_ok(ob_section_check_protect(body->protect, NULL)) &&
           nt_ok(ob_section_check_attributes(body->attributes, body->kind != OB_SECTION_PAGING,
                                             NULL)) &&
           !(body->attributes & SEC_IMAGE) == (body->kind != OB_SECTION_IMAGE);
}

bool ob_section_read_body(const void *from, struct ob_section_body *out, bool with_path)
{
    const struct ob_section_body *body = from;
    memcpy(out, body, offsetof(struct ob_section_body, holders));
    out->size = __atomic_load_n(&body->size, __ATOMIC_ACQUIRE);
    if (with_path)
        memcpy(out->path, body->path, sizeof out->path);
    return body_makes_sense(out) && (!with_path || memchr(out->path, 0, sizeof out->path));
}

static struct ob_section *of(struct ob_object *object)
{
    return (struct ob_section *)object;
}

static struct ob_record *record_of(struct ob_object *object)
{
    return of(object)->record;
}

static nt_status attach(struct ob_record *record, struct ob_object **out, struct pe_error *err)
{
    struct ob_section_body body;
    uint64_t extra;
    ob_record_extra(record, &extra);
    bool fine = ob_section_read_body(ob_record_body(record), &body, false);
    if (fine && body.kind == OB_SECTION_PAGING)
        fine = body.commit_size + round_up(body.size, PAGE) <= extra;
    struct ob_section *section = fine ? ob_object_create(&ob_section_type, sizeof *section) : NULL;
    if (!section) {
        ob_record_close(record);
        return fine ? pe_fail(err, STATUS_NO_MEMORY, "no memory for a section")
                    : pe_fail(err, STATUS_FILE_INVALID, "the record of the section is damaged");
    }
    pthread_mutex_init(&section->lock, NULL);
    section->record = record;
    section->kind = body.kind;
    section->protect = body.protect;
    section->attributes = body.attributes;
    section->dev = body.dev;
    section->ino = body.ino;
    section->commit_size = body.commit_size;
    section->fd = -1;
    *out = &section->object;
    return STATUS_SUCCESS;
}

static void destroy(struct ob_object *object)
{
    struct ob_section *section = of(object);
    if (section->fd >= 0) {
        ob_section_file_forget(ob_record_body(section->record), section->fd);
        close(section->fd);
    }
    mm_data_unref(section->data);
    mm_section_unref(section->image);
    ob_record_close(section->record);
    pthread_mutex_destroy(&section->lock);
}

const struct ob_type ob_section_type = {.name = "Section", .destroy = destroy};

static const struct ob_record_type record_type = {
    .type = &ob_section_type,
    .type_id = OB_TYPE_SECTION,
    .attach = attach,
    .record = record_of,
};

const struct ob_record_type *ob_section_record_type(void)
{
    return &record_type;
}

/* ---- making it usable ---------------------------------------------------------------------------
 */

struct commit_map {
    void *bits;
    uint64_t size;
};

static void unmap_commit(void *user)
{
    struct commit_map *map = user;
    mm_host_unmap(map->bits, map->size);
    free(map);
}

/* The path behind a section; "" = none. Called with a record that has been checked. */
static const char *path_of(const struct ob_section *section, struct ob_section_body *storage)
{
    bool fine = ob_section_read_body(ob_record_body(section->record), storage, true);
    return fine ? storage->path : "";
}

static nt_status make_paging(struct ob_section *section, uint64_t size, struct pe_error *err)
{
    uint64_t room, begin = ob_record_extra(section->record, &room);
    struct mm_data_source source = {
        .fd = ob_record_fd(section->record),
        .offset = begin + section->commit_size,
        .size = round_up(size, PAGE),
        .protect = section->protect,
        .attributes = section->attributes,
        .paging_file = true,
        .name = "",
    };
    if (section->commit_size) {
        struct commit_map *map = malloc(sizeof *map);
        if (!map)
            return pe_fail(err, STATUS_NO_MEMORY, "no memory for a section");
        map->size = section->commit_size;
        nt_status status = mm_host_map(source.fd, begin, map->size, &map->bits, err);
        if (!nt_ok(status)) {
            free(map);
            return status;
        }
        source.commit = map->bits;
        source.release = unmap_commit;
        source.user = map;
    }
    nt_status status = mm_data_create(&source, &section->data, err);
    if (!nt_ok(status) && source.user)
        unmap_commit(source.user);
    return status;
}

static nt_status make_data(struct ob_section *section, uint64_t size, struct pe_error *err)
{
    struct ob_section_body storage;
    struct mm_data_source source = {
        .fd = section->fd,
        .size = size,
        .protect = section->protect,
        .attributes = section->attributes,
        .name = path_of(section, &storage),
    };
    ob_fileshare_use(section->fd, OB_FILE_MAPPED);
    if (ob_section_writes(section->protect))
        ob_fileshare_use(section->fd, OB_FILE_WRITABLE);
    return mm_data_create(&source, &section->data, err);
}

static nt_status make_image(struct ob_section *section, struct pe_error *err)
{
    struct ob_section_body storage;
    ob_fileshare_use(section->fd, OB_FILE_IMAGE);
    return section->image
               ? STATUS_SUCCESS
               : ob_image_create(section->fd, path_of(section, &storage), &section->image, err);
}

static uint64_t present_size(const struct ob_section *section)
{
    const struct ob_section_body *body = ob_record_body(section->record);
    return __atomic_load_n(&body->size, __ATOMIC_ACQUIRE);
}

static nt_status make(struct ob_section *section, struct pe_error *err)
{
    struct ob_section_body body;
    if (!ob_section_read_body(ob_record_body(section->record), &body, false))
        return pe_fail(err, STATUS_FILE_INVALID, "the record of the section is damaged");
    switch (section->kind) {
    case OB_SECTION_PAGING:
        return make_paging(section, body.size, err);
    case OB_SECTION_FILE:
        return make_data(section, body.size, err);
    default:
        return make_image(section, err);
    }
}

nt_status ob_section_ready(struct ob_section *section, struct ob_section_parts parts,
                           struct pe_error *err)
{
    nt_status status = STATUS_SUCCESS;
    pthread_mutex_lock(&section->lock);
    if (!section->ready) {
        if (section->kind != OB_SECTION_PAGING) {
            section->fd = parts.fd;
            section->image = parts.image;
            parts = (struct ob_section_parts){-1, NULL};
            if (section->fd < 0)
                status = ob_section_file_find(section, &section->fd, err);
            if (nt_ok(status))
                ob_section_file_hold(ob_record_body(section->record), section->fd);
        }
        if (nt_ok(status))
            status = make(section, err);
        section->ready = nt_ok(status);
    }
    pthread_mutex_unlock(&section->lock);
    if (parts.fd >= 0) {
        ob_section_file_forget(ob_record_body(section->record), parts.fd);
        close(parts.fd);
    }
    mm_section_unref(parts.image);
    return status;
}

nt_status ob_section_data(struct ob_section *section, struct mm_data **out, struct pe_error *err)
{
    nt_status status = STATUS_SUCCESS;
    pthread_mutex_lock(&section->lock);
    /* Somebody has extended it: views have the old one, new views are made of a longer one. */
    if (section->kind == OB_SECTION_FILE && mm_data_size(section->data) != present_size(section)) {
        struct mm_data *old = section->data;
        status = make(section, err);
        if (nt_ok(status))
            mm_data_unref(old);
    }
    if (nt_ok(status))
        *out = mm_data_ref(section->data);
    pthread_mutex_unlock(&section->lock);
    return status;
}

/* ---- creation -----------------------------------------------------------------------------------
 */

struct creation {
    const struct ob_section_create *how;
    struct ob_section_file file;
    struct mm_section *image;
    uint64_t size, commit_size;
};

static nt_status prepare_image(struct creation *creation, struct pe_error *err)
{
    const struct ob_section_create *how = creation->how;
    nt_status status = ob_image_create(creation->file.fd, how->path ? how->path : "the image",
                                       &creation->image, err);
    if (!nt_ok(status))
        return status;
    creation->size = mm_section_size(creation->image);
    if (how->size <= creation->size)
        return STATUS_SUCCESS;
    return pe_fail(err, STATUS_SECTION_TOO_BIG, "the image has %llu bytes where %llu are wanted",
                   (unsigned long long)creation->size, (unsigned long long)how->size);
}

static nt_status prepare_file(struct creation *creation, struct pe_error *err)
{
    const struct ob_section_create *how = creation->how;
    if (!ob_section_file_suffices(how))
        return pe_fail(err, STATUS_ACCESS_DENIED,
                       "the file handle does not allow a section of protection 0x%x", how->protect);
    nt_status status = ob_section_file_open(how, &creation->file, err);
    if (!nt_ok(status))
        return status;
    if (how->attributes & SEC_IMAGE)
        return prepare_image(creation, err);
    return ob_section_file_size(&creation->file, how->size, ob_section_writes(how->protect),
                                &creation->size, err);
}

/* More than there is memory can be reserved but not committed. */
static bool exceeds_memory(uint64_t size)
{
    struct sysinfo info;
    return sysinfo(&info) == 0 &&
           size / info.mem_unit > (uint64_t)info.totalram + (uint64_t)info.totalswap;
}

static nt_status prepare_paging(struct creation *creation, struct pe_error *err)
{
    const struct ob_section_create *how = creation->how;
    if (how->size == 0)
        return pe_fail(err, STATUS_INVALID_PARAMETER_4,
                       "a section of the paging file needs a size");
    if (how->size > OB_SECTION_MAX)
        return pe_fail(err, STATUS_SECTION_TOO_BIG, "no section has %llu bytes",
                       (unsigned long long)how->size);
    creation->size = round_up(how->size, PAGE);
    if (how->attributes & SEC_RESERVE)
        creation->commit_size = round_up(creation->size / PAGE / 8 + 1, GRANULARITY);
    else if (exceeds_memory(creation->size))
        return pe_fail(err, STATUS_COMMITMENT_LIMIT, "there is no memory for %llu bytes",
                       (unsigned long long)creation->size);
    return STATUS_SUCCESS;
}

static void fill_body(const struct creation *creation, struct ob_section_body *body)
{
    const struct ob_section_create *how = creation->how;
    body->magic = OB_SECTION_MAGIC;
    body->kind = how->fd < 0                   ? OB_SECTION_PAGING
                 : how->attributes & SEC_IMAGE ? OB_SECTION_IMAGE
                                               : OB_SECTION_FILE;
    body->size = creation->size;
    body->protect = how->protect;
    body->attributes = how->attributes;
    body->dev = creation->file.dev;
    body->ino = creation->file.ino;
    body->commit_size = creation->commit_size;
    if (how->path && strlen(how->path) < sizeof body->path)
        strcpy(body->path, how->path);
    if (creation->file.fd >= 0)
        ob_section_file_hold(body, creation->file.fd);
}

/* The bitmap of what is committed is written to by everybody: its pages exist from the start. */
static nt_status fill(void *user, void *body, int fd, struct pe_error *err)
{
    const struct creation *creation = user;
    struct stat st;
    int error = 0;
    if (creation->commit_size && fstat(fd, &st) == 0) {
        uint64_t room = creation->commit_size + creation->size;
        error = posix_fallocate(fd, st.st_size - (off_t)room, (off_t)creation->commit_size);
    }
    if (error)
        return ob_fail_errno(err, error, "cannot reserve room for a section");
    fill_body(creation, body);
    return STATUS_SUCCESS;
}

static nt_status create(struct creation *creation, struct ob_object **out, struct pe_error *err)
{
    const struct ob_section_create *how = creation->how;
    bool paging = how->fd < 0;
    struct ob_record_init init = {
        .type = &record_type,
        .extra = paging ? creation->commit_size + creation->size : 0,
        /* Unnamed memory is taken when it is used, as all of Linux's. */
        .reserve = paging && how->name.length && !creation->commit_size,
        .fill = fill,
        .user = creation,
    };
    nt_status status = ob_record_create(&how->name, how->global, &init, out, err);
    /* It is the disk that the pages are on; to the caller it is the paging file. */
    if (status == (nt_status)STATUS_DISK_FULL) {
        status = STATUS_COMMITMENT_LIMIT;
        if (err)
            err->status = status;
    }
    return status;
}

/* What was prepared for a section that is not made after all. */
static void discard(struct creation *creation)
{
    if (creation->file.fd >= 0)
        close(creation->file.fd);
    mm_section_unref(creation->image);
    creation->file.fd = -1;
    creation->image = NULL;
}

/*
 * Consumes the object. STATUS_RETRY when its file is out of reach: whoever held it was just closing
 * it. Once this process has let go as well, the name is free or somebody else's.
 */
static nt_status make_ready(struct ob_object *object, struct ob_section_parts parts,
                            struct ob_object **out, struct pe_error *err)
{
    nt_status status = ob_section_ready(of(object), parts, err);
    if (nt_ok(status))
        *out = object;
    else
        ob_object_unref(object);
    return status;
}

static nt_status create_once(struct creation *creation, struct ob_object **out,
                             struct pe_error *err)
{
    struct ob_section_parts parts = {-1, NULL};
    struct ob_object *object;
    nt_status status = create(creation, &object, err);
    if (!nt_ok(status))
        return status;
    /* Another section that has the name has a file of its own. */
    if (status == STATUS_SUCCESS) {
        parts = (struct ob_section_parts){creation->file.fd, creation->image};
        creation->file.fd = -1;
        creation->image = NULL;
    }
    nt_status ready = make_ready(object, parts, out, err);
    return nt_ok(ready) ? status : ready;
}

/* Whether to try again; the error is then forgotten. */
static bool lost_race(nt_status status, int *attempt, struct pe_error *err)
{
    if (status != (nt_status)STATUS_RETRY || ++*attempt > 50)
        return false;
    if (err)
        err->status = STATUS_SUCCESS;
    usleep(1000);
    return true;
}

/* The files of a section that is there for good are out of reach: to callers it has none. */
static nt_status final_status(nt_status status, struct pe_error *err)
{
    if (status != (nt_status)STATUS_RETRY)
        return status;
    if (err)
        err->status = STATUS_FILE_INVALID;
    return STATUS_FILE_INVALID;
}

nt_status ob_section_create(const struct ob_section_create *how, struct ob_object **out,
                            struct pe_error *err)
{
    struct creation creation = {.how = how, .file.fd = -1};
    int attempt = 0;
    nt_status status = ob_section_check_protect(how->protect, err);
    if (nt_ok(status))
        status = ob_section_check_attributes(how->attributes, how->fd >= 0, err);
    if (nt_ok(status))
        status = how->fd >= 0 ? prepare_file(&creation, err) : prepare_paging(&creation, err);
    if (nt_ok(status)) {
        do
            status = create_once(&creation, out, err);
        while (lost_race(status, &attempt, err));
    }
    discard(&creation);
    return final_status(status, err);
}

static nt_status open_once(const struct ob_name *name, bool global, struct ob_object **out,
                           struct pe_error *err)
{
    struct ob_object *object;
    nt_status status = ob_record_open(name, global, &record_type, &object, err);
    return nt_ok(status) ? make_ready(object, (struct ob_section_parts){-1, NULL}, out, err)
                         : status;
}

nt_status ob_section_open(const struct ob_name *name, bool global, struct ob_object **out,
                          struct pe_error *err)
{
    int attempt = 0;
    nt_status status;
    do
        status = open_once(name, global, out, err);
    while (lost_race(status, &attempt, err));
    return final_status(status, err);
}
