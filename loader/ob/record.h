/*
 * Records: objects that several processes can hold, and the namespace of named ones (design,
 * decision 8; facts 4.1 "Names").
 *
 * A record is a backing (ob/backing.h): a file of the runtime directory for an object with a name,
 * a memfd for one without. It begins with a header that says type and full name; the type's own
 * body follows at a multiple of 64 KiB or in the first page. The name is alive as long as a process
 * holds the record, i.e. has a handle; mappings of the body outlive that. The file's name is a
 * digest of the object's name, so any name is possible; the header tells two names of one digest
 * apart.
 *
 * What lies in a record may have been written by any process of the user, or by one that was killed
 * half-way through: it is checked like the bytes of an image.
 */
#ifndef OB_RECORD_H
#define OB_RECORD_H

#include <stddef.h>

#include "loader/ob/backing.h"
#include "loader/ob/parcel.h"

struct ob_record;

/* The type's own part in the first page: both word sizes lay it out alike. */
#define OB_RECORD_BODY 3072u

/*
 * What a type does with records. `attach` makes this process's object around a record of its type:
 * the record is its own from then on (closed by its destroy, and on failure by attach).
 * It is called with this room's table locked: it must not open or close other records.
 */
struct ob_record_type {
    const struct ob_type *type;
    uint32_t type_id; /* enum ob_type_id */
    nt_status (*attach)(struct ob_record *record, struct ob_object **out, struct pe_error *err);
    /* The record of an object; NULL = it has none (yet). The object keeps it. */
    struct ob_record *(*record)(struct ob_object *object);
};

struct ob_record_init {
    const struct ob_record_type *type;
    uint64_t extra; /* bytes behind the first 64 KiB: room for pages, ob_record_extra() */
    bool reserve;   /* the space of `extra` is taken at once (STATUS_DISK_FULL) */
    /* Fills the body of a fresh record (zeroed; `fd` for `extra`); nobody else sees it before. */
    nt_status (*fill)(void *user, void *body, int fd, struct pe_error *err);
    void *user;
};

/* An object name in NT's form: UTF-16, not terminated. */
struct ob_name {
    const uint16_t *text;
    size_t length; /* units; 0 = no name */
};

/*
 * From a name as KERNEL32's functions take it (NUL-terminated; NULL and "" = none): "Local\" and
 * "Global\" and "Session\<n>\" prefixes. STATUS_OBJECT_PATH_NOT_FOUND for another backslash,
 * STATUS_OBJECT_NAME_INVALID for a name that Windows cannot have (too long, nothing behind a
 * prefix), STATUS_OBJECT_PATH_SYNTAX_BAD for a leading backslash, STATUS_OBJECT_TYPE_MISMATCH for
 * "Local", "Global" and "Session" alone. `*global` tells the namespaces apart.
 */
nt_status ob_name_parse(const uint16_t *name, struct ob_name *out, bool *global);
/*
 * The same for an absolute name as the Nt functions take it, without root directory: `bytes` of a
 * UNICODE_STRING. "\BaseNamedObjects\x" is global, "\Sessions\1\BaseNamedObjects\x" is not.
 * `ignore_case` (OBJ_CASE_INSENSITIVE) counts for the directories only.
 */
nt_status ob_name_parse_nt(const uint16_t *text, size_t bytes, bool ignore_case,
                           struct ob_name *out, bool *global);

/*
 * Creates an object by name, or opens the one that has it (STATUS_OBJECT_NAME_EXISTS, a success).
 * STATUS_OBJECT_TYPE_MISMATCH when an object of another type has it. `*out` is a new reference; one
 * process has one object for one record. Without a name (length 0): a fresh memfd record.
 */
nt_status ob_record_create(const struct ob_name *name, bool global,
                           const struct ob_record_init *init, struct ob_object **out,
                           struct pe_error *err);
/* STATUS_OBJECT_NAME_NOT_FOUND, STATUS_OBJECT_TYPE_MISMATCH. */
nt_status ob_record_open(const struct ob_name *name, bool global, const struct ob_record_type *type,
                         struct ob_object **out, struct pe_error *err);

/*
 * For objects that get a record only when they leave the process: a nameless one, which no object
 * is known by yet; and then (no other record of it may be bound) the object that it is of, as
 * attach would have made it.
 */
nt_status ob_record_make(const struct ob_record_init *init, struct ob_record **out,
                         struct pe_error *err);
void ob_record_bind(struct ob_record *record, struct ob_object *object);

/* The body: OB_RECORD_BODY bytes of shared memory, valid until ob_record_close(). */
void *ob_record_body(struct ob_record *record);
/* The descriptor, and where `extra` begins and how long it is. It stays the record's. */
int ob_record_fd(const struct ob_record *record);
uint64_t ob_record_extra(const struct ob_record *record, uint64_t *size);
/* The name in NT's form; length 0 = none. Valid as long as the record. */
struct ob_name ob_record_name(const struct ob_record *record);
/* Tells it from all others. */
void ob_record_identity(const struct ob_record *record, uint64_t *dev, uint64_t *ino);
/* Whether another holder may be there; of a nameless one that is not known: true. */
bool ob_record_has_others(const struct ob_record *record);
/* Gives up holding it: the last holder's name goes. What is mapped of it elsewhere stays. */
void ob_record_close(struct ob_record *record);

/* The couriers of all record types are the same: the parcel is a descriptor of the record (fds[0]).
 * For a type's own pack/unpack, which may add descriptors and data from offset 64 on. */
nt_status ob_record_pack(struct ob_record *record, const struct ob_record_type *type,
                         struct ob_parcel *parcel, struct pe_error *err);
/* Finds this process's object of that record or attaches. Takes fds[0] only. */
nt_status ob_record_unpack(const struct ob_parcel *parcel, const struct ob_record_type *type,
                           struct ob_object **out, struct pe_error *err);

/* ---- looking at all of them (peldr sections)
 * -----------------------------------------------------
 */

struct ob_record_info {
    uint32_t type_id;
    char name[1024];  /* UTF-8, "Global\..." or plain; cut when longer */
    const void *body; /* OB_RECORD_BODY bytes, a snapshot, for the type to read */
    uint64_t extra_size;
    uint64_t dev, ino; /* of the record's file: /proc/PID/fd of its holders lead to it */
};
/* Calls `visit` for every live named record of the user. */
nt_status ob_record_each(void (*visit)(void *user, const struct ob_record_info *info), void *user,
                         struct pe_error *err);

#endif
