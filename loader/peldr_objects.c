/*
 * The public API: what processes of this user share, and who holds it (loader/peldr.h): named
 * objects, by the files of the runtime directory and who has them open; images, by asking every
 * process in which peldr runs.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/ob/section.h"
#include "loader/peldr_api.h"
#include "loader/peldr_walk.h"

enum { NAME_ROOM = 256, PATH_ROOM = 4096, MAX_PROCESSES = 4096 };

struct object {
    struct peldr_object shown; /* its strings and holders belong to this record */
    uint32_t *holders;
    char *name, *path;
    uint64_t dev, ino; /* of the record's file, or of the image file */
};

struct objects {
    struct object *all;
    size_t count, room;
    bool failed; /* no memory */
};

/* ---- the list ---- */

static struct object *add_object(struct objects *list, const char *type, const char *name,
                                 const char *path)
{
    if (list->count == list->room) {
        size_t room = list->room * 2 + 64;
        struct object *more = realloc(list->all, room * sizeof *more);
        if (!more) {
            list->failed = true;
            return NULL;
        }
        list->all = more;
        list->room = room;
    }
    struct object *object = &list->all[list->count];
    *object = (struct object){.shown.type = type, .name = strdup(name), .path = strdup(path)};
    if (!object->name || !object->path) {
        free(object->name);
        free(object->path);
        list->failed = true;
        return NULL;
    }
    list->count++;
    return object;
}

static void add_holder(struct objects *list, struct object *object, uint32_t id)
{
    uint32_t count = object->shown.holder_count;
    if (count && object->holders[count - 1] == id) /* they come process by process */
        return;
    uint32_t *more = realloc(object->holders, (count + 1) * sizeof *more);
    if (!more) {
        list->failed = true;
        return;
    }
    object->holders = more;
    object->holders[count] = id;
    object->shown.holder_count = count + 1;
}

static struct object *find_object(const struct objects *list, const char *type, uint64_t dev,
                                  uint64_t ino)
{
    for (size_t i = 0; i < list->count; i++) {
        struct object *object = &list->all[i];
        if (object->dev == dev && object->ino == ino &&
            (strcmp(object->shown.type, "image") == 0) == (strcmp(type, "image") == 0))
            return object;
    }
    return NULL;
}

static void free_objects(struct objects *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->all[i].holders);
        free(list->all[i].name);
        free(list->all[i].path);
    }
    free(list->all);
}

/* ---- named objects ---- */

static const char *type_name(uint32_t type_id)
{
    static const char *const names[OB_TYPE_COUNT] = {
        [OB_TYPE_EVENT] = "event", [OB_TYPE_SEMAPHORE] = "semaphore", [OB_TYPE_MUTEX] = "mutex",
        [OB_TYPE_TIMER] = "timer", [OB_TYPE_SECTION] = "section",
    };
    return type_id < OB_TYPE_COUNT && names[type_id] ? names[type_id] : "object";
}

static void add_record(void *user, const struct ob_record_info *info)
{
    struct ob_section_summary section = {0};
    if (info->type_id == OB_TYPE_SECTION && !ob_section_summarize(info->body, &section))
        section = (struct ob_section_summary){0}; /* damaged: it exists all the same */
    struct object *object = add_object(user, type_name(info->type_id), info->name, section.path);
    if (object) {
        object->dev = info->dev;
        object->ino = info->ino;
        object->shown.size = section.size;
        object->shown.protect = section.protect;
        object->shown.attributes = section.attributes;
    }
}

/* The records that a process has open. */
static void find_open_records(struct objects *list, uint32_t id, int proc)
{
    char path[32];
    struct stat st;
    snprintf(path, sizeof path, "%u/fd", (unsigned)id);
    int fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) { /* it has ended, or may not be looked at */
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct object *object = NULL;
        if (entry->d_name[0] != '.' && fstatat(fd, entry->d_name, &st, 0) == 0 &&
            S_ISREG(st.st_mode))
            object = find_object(list, "", st.st_dev, st.st_ino);
        if (object)
            add_holder(list, object, id);
    }
    closedir(dir);
}

/* Whether or not peldr's service runs in them: a forked child holds what its parent held. */
static void find_holders(struct objects *list)
{
    DIR *proc = list->count ? opendir("/proc") : NULL;
    struct stat st;
    for (struct dirent *entry; proc && (entry = readdir(proc));) {
        uint32_t id = (uint32_t)strtoul(entry->d_name, NULL, 10);
        if (id != 0 && fstatat(dirfd(proc), entry->d_name, &st, 0) == 0 && st.st_uid == geteuid())
            find_open_records(list, id, dirfd(proc));
    }
    if (proc)
        closedir(proc);
}

/* ---- images ---- */

static void add_images_of(struct objects *list, uint32_t id)
{
    char name[NAME_ROOM], path[PATH_ROOM];
    struct walk_reader reader;
    struct walk_module m;
    if (!nt_ok(peldr_walk_ask(id, OB_REQUEST_MODULES, &reader, NULL)))
        return; /* it has ended, or is stopped */
    while (peldr_walk_next_module(&reader, &m, name, NAME_ROOM, path, PATH_ROOM)) {
        if (!(m.flags & WALK_FILE) || m.size == 0)
            continue;
        struct object *object = find_object(list, "image", m.dev, m.ino);
        if (!object && (object = add_object(list, "image", name, path)) != NULL) {
            object->dev = m.dev;
            object->ino = m.ino;
            object->shown.size = m.size;
            object->shown.attributes = SEC_IMAGE;
        }
        if (object)
            add_holder(list, object, id);
    }
    peldr_walk_close(&reader);
}

static void add_images(struct objects *list)
{
    uint32_t *ids = malloc(MAX_PROCESSES * sizeof *ids);
    uint32_t count = ids ? ob_process_list(ids, MAX_PROCESSES) : 0;
    for (uint32_t i = 0; i < count; i++)
        add_images_of(list, ids[i]);
    list->failed |= !ids;
    free(ids);
}

/* ---- all of them ---- */

/* Sections, other objects by type, images; by name within. */
static int compare(const void *a, const void *b)
{
    const struct object *first = a, *second = b;
    const char *types[2] = {first->shown.type, second->shown.type};
    int rank[2];
    for (int i = 0; i < 2; i++)
        rank[i] = strcmp(types[i], "section") == 0 ? 0 : strcmp(types[i], "image") == 0 ? 2 : 1;
    if (rank[0] != rank[1])
        return rank[0] - rank[1];
    int order = strcmp(types[0], types[1]);
    return order != 0 ? order : strcmp(first->name, second->name);
}

int peldr_each_object(peldr_object_visit visit, void *user)
{
    struct pe_error *err = peldr_begin();
    struct objects list = {0};
    int result = 0;
    nt_status status = ob_record_each(add_record, &list, err);
    if (nt_ok(status)) {
        find_holders(&list);
        add_images(&list);
        if (list.failed)
            status = pe_fail(err, STATUS_NO_MEMORY, "no memory for the list of objects");
    }
    if (nt_ok(status) && list.count)
        qsort(list.all, list.count, sizeof *list.all, compare);
    for (size_t i = 0; nt_ok(status) && i < list.count && result == 0; i++) {
        struct object *object = &list.all[i];
        object->shown.name = object->name;
        object->shown.path = object->path;
        object->shown.holders = object->holders;
        result = visit(user, &object->shown);
    }
    free_objects(&list);
    return nt_ok(status) ? result : peldr_result(status);
}
