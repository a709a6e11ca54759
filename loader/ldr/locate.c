/*
 * Locating a module: loaded ones by base name, the search, loaded ones by file identity
 * (facts 3.1).
 *
 * The same file under another name is the same module, and a bare name that is loaded is never
 * searched for.
 */
#include "loader/ldr/locate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loader/ldr/builtin_image.h"
#include "loader/ldr/search.h"

/* ---- files ---- */

char *ldr_directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? strndup(path, slash > path ? (size_t)(slash - path) : 1) : NULL;
}

/* An absolute path with its directory's links followed; the file keeps the name it was found by. */
static char *absolute_path(const char *path, char **directory)
{
    const char *slash = strrchr(path, '/');
    char parent[PATH_MAX];
    char resolved[PATH_MAX];
    snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - path + 1) : 1,
             slash ? path : ".");
    if (!realpath(parent, resolved)) {
        return NULL;
    }
    char *full;
    const char *base = slash ? slash + 1 : path;
    if (asprintf(&full, "%s/%s", strcmp(resolved, "/") == 0 ? "" : resolved, base) < 0) {
        return NULL;
    }
    *directory = strdup(resolved);
    return full;
}

static nt_status open_failed(const char *path, struct pe_error *err)
{
    nt_status status = errno == ENOENT || errno == ENOTDIR ? STATUS_DLL_NOT_FOUND
                       : errno == EACCES                   ? STATUS_ACCESS_DENIED
                                                           : STATUS_INSUFFICIENT_RESOURCES;
    return pe_fail(err, status, "%s cannot be opened: %s", path, strerror(errno));
}

/* An absolute path without "//", "/./" and "/../": its text is its own real path if no part of it
 * is a link. */
static bool is_plain(const char *path)
{
    for (const char *p = path; *p == '/'; p = strchrnul(p, '/')) {
        p++;
        if (*p == '/' || *p == '\0' || (p[0] == '.' && (p[1] == '/' || p[1] == '\0')) ||
            (p[0] == '.' && p[1] == '.' && (p[2] == '/' || p[2] == '\0'))) {
            return false;
        }
    }
    return *path == '/';
}

/* The path as text, from the current directory if it is relative; NULL when it is not plain. */
static char *plain_path(const char *path)
{
    char cwd[PATH_MAX];
    char *full = NULL;
    if (*path != '/' && getcwd(cwd, sizeof cwd) && *cwd == '/' &&
        asprintf(&full, "%s/%s", cwd, path) < 0) {
        return NULL;
    }
    if (*path == '/') {
        full = strdup(path);
    }
    if (full && !is_plain(full)) {
        free(full);
        full = NULL;
    }
    return full;
}

/* Opens a file that lies where its path says (Linux 5.6): one system call instead of one for each
 * part of the path. */
static bool open_plain(const char *path, struct ldr_located *out)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_LARGEFILE,
                           .resolve = RESOLVE_NO_SYMLINKS};
    char *full = plain_path(path);
    if (full) {
        out->source.fd = (int)syscall(SYS_openat2, AT_FDCWD, full, &how, sizeof how);
    }
    if (out->source.fd < 0) {
        free(full);
        return false;
    }
    out->path = full;
    out->directory = ldr_directory_of(full);
    return true;
}

/* Opens a file; `id` tells whether it is loaded under another name. */
static nt_status open_file(const char *path, struct ldr_located *out, struct mm_file_id *id,
                           struct pe_error *err)
{
    struct stat *st = &out->source.st;
    if (out->source.fd < 0 && !open_plain(path, out)) {
        out->path = absolute_path(path, &out->directory);
        out->source.fd = out->path ? open(out->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    }
    if (out->source.fd < 0 || fstat(out->source.fd, st) != 0) {
        return open_failed(path, err);
    }
    if (!S_ISREG(st->st_mode)) {
        return pe_fail(err,
                       S_ISDIR(st->st_mode) ? STATUS_FILE_IS_A_DIRECTORY
                                            : STATUS_INVALID_FILE_FOR_SECTION,
                       "%s is no regular file", path);
    }
    out->source.path = out->path;
    out->source.name = out->path;
    id->dev = st->st_dev;
    id->ino = st->st_ino;
    return STATUS_SUCCESS;
}

/* A path that is spelled as the host spells it needs no search; most are. */
static bool open_spelled(const struct ldr_load_options *options, struct ldr_located *out,
                         struct mm_file_id *id)
{
    char file[PATH_MAX];
    if (strchr(options->name, '/') == NULL || strpbrk(options->name, "\\:") != NULL ||
        !ldr_file_name(options->name, options->flags, file, sizeof file) ||
        !open_plain(file, out)) {
        return false;
    }
    if (nt_ok(open_file(out->path, out, id, NULL))) {
        return true;
    }
    ldr_located_free(out);
    *out = (struct ldr_located){.source = {.fd = -1}};
    return false;
}

/* ---- the search ---- */

static nt_status not_found(const char *name, char *searched, struct pe_error *err)
{
    for (char *p = searched; *p; p++) {
        *p = *p == '\n' ? ';' : *p;
    }
    return pe_fail(err, STATUS_DLL_NOT_FOUND, "%s was not found%s%s", name,
                   *searched ? ", searched: " : "", searched);
}

/* A file of another machine is second best: its data may be all that is wanted. */
static enum ldr_found resolve(const char *name, const char *importer_dir, uint32_t flags,
                              uint16_t machine, char *resolved, char *searched)
{
    enum ldr_found found =
        ldr_resolve(name, importer_dir, flags, machine, resolved, PATH_MAX, searched, PATH_MAX);
    return found == LDR_FOUND_NOTHING && machine
               ? ldr_resolve(name, importer_dir, flags, 0, resolved, PATH_MAX, NULL, 0)
               : found;
}

static nt_status search(const struct ldr_load_options *options, const char *importer_dir,
                        uint16_t machine, struct ldr_located *out, struct pe_error *err)
{
    struct {
        char resolved[PATH_MAX], searched[PATH_MAX];
    } * text;
    struct mm_file_id id;
    if (!machine && open_spelled(options, out, &id)) {
        out->loaded = options->flags & LDR_MAP_ONLY ? NULL : ldr_find_file(&id);
        return STATUS_SUCCESS;
    }
    text = malloc(sizeof *text);
    if (!text) {
        return pe_fail(err, STATUS_NO_MEMORY, "%s: not enough memory", options->name);
    }
    bool listed = !(options->flags & LDR_MAP_ONLY);
    nt_status status = STATUS_SUCCESS;
    text->searched[0] = '\0';
    switch (resolve(options->name, importer_dir, options->flags, machine, text->resolved,
                    text->searched)) {
    case LDR_FOUND_NOTHING:
        status = not_found(options->name, text->searched, err);
        break;
    case LDR_FOUND_BUILTIN:
        out->source.builtin = ldr_builtin_find(text->resolved);
        out->source.name = out->source.builtin->name;
        out->loaded = listed ? ldr_find_base_name(out->source.name) : NULL;
        break;
    case LDR_FOUND_FILE:
        status = open_file(text->resolved, out, &id, err);
        out->loaded = nt_ok(status) && listed ? ldr_find_file(&id) : NULL;
        break;
    }
    free(text);
    return status;
}

/* ---- all together ---- */

static nt_status from_memory(const struct ldr_load_options *options, struct ldr_located *out,
                             struct pe_error *err)
{
    const uint32_t unlisted =
        LDR_MAP_ONLY | LDR_AS_DATAFILE | LDR_AS_DATAFILE_EXCLUSIVE | LDR_AS_IMAGE_RESOURCE;
    const char *base = ldr_base_name(options->name);
    out->source.name = base;
    out->source.bytes = options->bytes;
    out->source.size = options->size;
    if (!(options->flags & unlisted) && ldr_find_base_name(base)) {
        return pe_fail(err, STATUS_OBJECT_NAME_COLLISION, "a module named %s is loaded already",
                       base);
    }
    return STATUS_SUCCESS;
}

static nt_status by_name(const struct ldr_load_options *options, const char *importer_dir,
                         uint16_t machine, struct ldr_located *out, struct pe_error *err)
{
    char *name = ldr_canonical_name(options->name, options->flags);
    if (!name) {
        return pe_fail(err, STATUS_DLL_NOT_FOUND, "%.200s can be no module's name", options->name);
    }
    bool path = ldr_is_path(name);
    if (!path && !(options->flags & LDR_MAP_ONLY)) {
        out->loaded = ldr_find_base_name(name);
    }
    nt_status status =
        out->loaded ? STATUS_SUCCESS : search(options, importer_dir, machine, out, err);
    if (!path) {
        free(out->directory);
        out->directory = NULL;
    }
    free(name);
    return status;
}

nt_status ldr_locate(const struct ldr_load_options *options, const char *importer_dir,
                     uint16_t machine, struct ldr_located *out, struct pe_error *err)
{
    *out = (struct ldr_located){.source = {.fd = -1}};
    nt_status status = options->bytes ? from_memory(options, out, err)
                                      : by_name(options, importer_dir, machine, out, err);
    if (!nt_ok(status)) {
        ldr_located_free(out);
    }
    return status;
}

void ldr_located_free(struct ldr_located *located)
{
    if (located->source.fd >= 0) {
        close(located->source.fd);
    }
    free(located->path);
    free(located->directory);
}
