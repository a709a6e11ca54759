/*
 * Records: creation, opening, and which of them this process has (see record.h).
 *
 * One table knows the records by the identity of their files. A new record is looked up and added
 * under its lock, so two threads that open one name get one object. An object whose last reference
 * is gone stays in the table until its destroy() has closed the record; it counts as absent, and
 * for that moment one file can be there twice.
 */
#include "loader/ob/record.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/mm/data.h"
#include "loader/ob/filelock.h"
#include "loader/ob/name.h"
#include "loader/ob/record_file.h"
#include "loader/ob/runtime.h"

struct ob_record {
    struct ob_record *next;   /* in its chain of the table */
    struct ob_object *object; /* in the table: whose it is; no reference */
    struct ob_backing *backing;
    struct ob_record_facts facts;
    uint8_t *page; /* the first page, mapped */
};

/* ---- the table ----------------------------------------------------------------------------------
 */

enum { CHAINS = 256 };
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ob_record *table[CHAINS];

static struct ob_record **chain_of(const struct ob_record_facts *facts)
{
    return &table[(facts->ino ^ facts->ino >> 8) % CHAINS];
}

/* A new reference unless the last one is gone already. */
static bool ref_if_alive(struct ob_object *object)
{
    int32_t count = __atomic_load_n(&object->references, __ATOMIC_RELAXED);
    while (count > 0)
        if (__atomic_compare_exchange_n(&object->references, &count, count + 1, true,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return true;
    return false;
}

/* Table locked. A new reference, or NULL. */
static struct ob_object *find_object(const struct ob_record_facts *facts)
{
    for (struct ob_record *at = *chain_of(facts); at; at = at->next)
        if (at->facts.ino == facts->ino && at->facts.dev == facts->dev && ref_if_alive(at->object))
            return at->object;
    return NULL;
}

static void add_locked(struct ob_record *record, struct ob_object *object)
{
    struct ob_record **chain = chain_of(&record->facts);
    record->object = object;
    record->next = *chain;
    *chain = record;
}

void ob_record_bind(struct ob_record *record, struct ob_object *object)
{
    pthread_mutex_lock(&table_lock);
    add_locked(record, object);
    pthread_mutex_unlock(&table_lock);
}

static void remove_record(struct ob_record *record)
{
    pthread_mutex_lock(&table_lock);
    struct ob_record **link = chain_of(&record->facts);
    while (*link != record)
        link = &(*link)->next;
    *link = record->next;
    pthread_mutex_unlock(&table_lock);
}

/* The object that the process has of this record, or a new one around it. Consumes the record. */
static nt_status find_or_attach(struct ob_record *record, const struct ob_record_type *type,
                                struct ob_object **out, struct pe_error *err)
{
    nt_status status = STATUS_SUCCESS;
    pthread_mutex_lock(&table_lock);
    struct ob_object *found = find_object(&record->facts);
    if (!found) {
        status = type->attach(record, out, err);
        if (nt_ok(status))
            add_locked(record, *out);
    }
    pthread_mutex_unlock(&table_lock);
    if (!found)
        return status;
    ob_record_close(record);
    if (found->type != type->type) {
        ob_object_unref(found);
        return pe_fail(err, STATUS_OBJECT_TYPE_MISMATCH, "the object is a %s", found->type->name);
    }
    *out = found;
    return STATUS_SUCCESS;
}

/* ---- records ------------------------------------------------------------------------------------
 */

/* Consumes the backing. */
static nt_status wrap(struct ob_backing *backing, struct ob_record **out, struct pe_error *err)
{
    void *page = NULL;
    struct ob_record *record = calloc(1, sizeof *record);
    if (!record) {
        ob_backing_close(backing);
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for the record of an object");
    }
    record->backing = backing;
    nt_status status = ob_record_read(ob_backing_fd(backing), &record->facts, err);
    if (nt_ok(status))
        status = mm_host_map(ob_backing_fd(backing), 0, OB_RECORD_PAGE, &page, err);
    record->page = page;
    if (nt_ok(status))
        *out = record;
    else
        ob_record_close(record);
    return status;
}

void ob_record_close(struct ob_record *record)
{
    if (record->object)
        remove_record(record);
    if (record->page)
        mm_host_unmap(record->page, OB_RECORD_PAGE);
    ob_backing_close(record->backing);
    free(record->facts.name);
    free(record);
}

void *ob_record_body(struct ob_record *record)
{
    return record->page + OB_RECORD_BODY_AT;
}

int ob_record_fd(const struct ob_record *record)
{
    return ob_backing_fd(record->backing);
}

uint64_t ob_record_extra(const struct ob_record *record, uint64_t *size)
{
    *size = record->facts.header.extra_size;
    return record->facts.header.extra_at;
}

struct ob_name ob_record_name(const struct ob_record *record)
{
    return (struct ob_name){record->facts.name, record->facts.header.name_units};
}

void ob_record_identity(const struct ob_record *record, uint64_t *dev, uint64_t *ino)
{
    *dev = record->facts.dev;
    *ino = record->facts.ino;
}

bool ob_record_has_others(const struct ob_record *record)
{
    return record->facts.header.name_units == 0 ||
           ob_lock_is_held(ob_record_fd(record), OB_LOCK_ALIVE);
}

/* ---- creating and opening -----------------------------------------------------------------------
 */

struct plan {
    const struct ob_record_init *init;
    const struct ob_name *name;
    struct ob_record_header header;
};

/* What a fresh backing begins with. */
static nt_status write_record(void *user, int fd, struct pe_error *err)
{
    const struct plan *plan = user;
    const struct ob_record_init *init = plan->init;
    uint8_t body[OB_RECORD_BODY] __attribute__((aligned(16))) = {0};
    int error = 0;
    if (init->reserve && init->extra)
        do
            error = posix_fallocate(fd, (off_t)plan->header.extra_at, (off_t)init->extra);
        while (error == EINTR);
    if (error)
        return ob_fail_errno(err, error, "cannot reserve %llu bytes of shared memory",
                             (unsigned long long)init->extra);
    nt_status status = init->fill ? init->fill(init->user, body, fd, err) : STATUS_SUCCESS;
    return nt_ok(status) ? ob_record_write(fd, &plan->header, plan->name, body, err) : status;
}

nt_status ob_record_make(const struct ob_record_init *init, struct ob_record **out,
                         struct pe_error *err)
{
    const struct ob_name none = {0};
    struct plan plan = {init, &none};
    struct ob_backing_how how = {.key = "peldr:object", .init = write_record, .user = &plan};
    struct ob_backing *backing;
    nt_status status = ob_record_plan(&none, false, init->type->type_id, init->extra, &plan.header,
                                      &how.size, err);
    if (nt_ok(status))
        status = ob_backing_create_anonymous(&how, &backing, err);
    return nt_ok(status) ? wrap(backing, out, err) : status;
}

/* Is it what was asked for? An object of a colliding digest is not opened in the name of another.
 */
static nt_status check_record(const struct ob_record *record, const struct ob_name *name,
                              bool global, const struct ob_record_type *type, struct pe_error *err)
{
    const struct ob_record_header *header = &record->facts.header;
    if (header->global != global || header->name_units != name->length ||
        memcmp(record->facts.name, name->text, name->length * 2) != 0)
        return pe_fail(err, STATUS_OBJECT_NAME_COLLISION,
                       "the file of this name belongs to an object of another name");
    if (header->type_id != type->type_id)
        return pe_fail(err, STATUS_OBJECT_TYPE_MISMATCH,
                       "the name is that of an object which is no %s", type->type->name);
    return STATUS_SUCCESS;
}

static nt_status open_named(struct ob_backing_how *how, const struct ob_name *name, bool global,
                            const struct ob_record_type *type, struct ob_object **out,
                            bool *created, struct pe_error *err)
{
    char key[OB_NAME_KEY];
    struct ob_backing *backing;
    struct ob_record *record;
    ob_name_key(name, global, key);
    how->key = key;
    nt_status status = ob_backing_open_as(how, &backing, created, err);
    if (status == (nt_status)STATUS_OBJECT_NAME_NOT_FOUND)
        return pe_fail(err, status, "no object has that name");
    if (nt_ok(status))
        status = wrap(backing, &record, err);
    if (!nt_ok(status))
        return status;
    status = check_record(record, name, global, type, err);
    if (nt_ok(status))
        return find_or_attach(record, type, out, err);
    ob_record_close(record);
    return status;
}

nt_status ob_record_create(const struct ob_name *name, bool global,
                           const struct ob_record_init *init, struct ob_object **out,
                           struct pe_error *err)
{
    struct plan plan = {init, name};
    struct ob_backing_how how = {
        .any_size = true, .sparse = true, .init = write_record, .user = &plan};
    struct ob_record *record;
    bool created = false;
    nt_status status;
    if (name->length == 0) {
        status = ob_record_make(init, &record, err);
        return nt_ok(status) ? find_or_attach(record, init->type, out, err) : status;
    }
    status = ob_record_plan(name, global, init->type->type_id, init->extra, &plan.header, &how.size,
                            err);
    if (nt_ok(status))
        status = open_named(&how, name, global, init->type, out, &created, err);
    return nt_ok(status) && !created ? (nt_status)STATUS_OBJECT_NAME_EXISTS : status;
}

nt_status ob_record_open(const struct ob_name *name, bool global, const struct ob_record_type *type,
                         struct ob_object **out, struct pe_error *err)
{
    struct ob_backing_how how = {.any_size = true, .existing = true};
    bool created;
    if (name->length == 0)
        return pe_fail(err, STATUS_OBJECT_NAME_INVALID, "an object is opened by its name");
    return open_named(&how, name, global, type, out, &created, err);
}

/* ---- parcels ------------------------------------------------------------------------------------
 */

enum { PARCEL_HEAD = 64 }; /* bytes of a parcel that are the record's */

nt_status ob_record_pack(struct ob_record *record, const struct ob_record_type *type,
                         struct ob_parcel *parcel, struct pe_error *err)
{
    nt_status status = ob_backing_share(record->backing, &parcel->fds[0], err);
    if (!nt_ok(status))
        return status;
    parcel->type = type->type_id;
    parcel->fd_count = 1;
    parcel->size = PARCEL_HEAD;
    return STATUS_SUCCESS;
}

/* Nobody can cut a file of this user's directory or a sealed memfd short by mistake. */
static nt_status check_sent(int fd, const struct ob_record_type *type,
                            const struct ob_record_facts *facts, struct pe_error *err)
{
    struct stat st;
    if (facts->header.type_id != type->type_id)
        return pe_fail(err, STATUS_OBJECT_TYPE_MISMATCH, "the object that was sent is no %s",
                       type->type->name);
    if (fstat(fd, &st) != 0 || st.st_uid != geteuid() ||
        (facts->header.name_units == 0 && !mm_host_is_memory(fd, (uint64_t)st.st_size)))
        return pe_fail(err, STATUS_ACCESS_DENIED, "the object that was sent is not shared memory");
    return STATUS_SUCCESS;
}

nt_status ob_record_unpack(const struct ob_parcel *parcel, const struct ob_record_type *type,
                           struct ob_object **out, struct pe_error *err)
{
    char key[OB_NAME_KEY];
    struct ob_record_facts facts;
    struct ob_backing *backing;
    struct ob_record *record;
    if (parcel->fd_count < 1 || parcel->fds[0] < 0)
        return pe_fail(err, STATUS_INVALID_PARAMETER, "an object was sent without its record");
    int fd = parcel->fds[0];
    nt_status status = ob_record_read(fd, &facts, err);
    if (nt_ok(status))
        status = check_sent(fd, type, &facts, err);
    if (nt_ok(status)) {
        const struct ob_name name = {facts.name, facts.header.name_units};
        ob_name_key(&name, facts.header.global, key);
        status = ob_backing_adopt(name.length ? key : NULL, fd, &backing, err);
    } else {
        close(fd);
    }
    free(facts.name);
    if (nt_ok(status))
        status = wrap(backing, &record, err);
    return nt_ok(status) ? find_or_attach(record, type, out, err) : status;
}
