/*
 * All live named objects of the user (record.h, ob_record_each): read without opening them, so that
 * looking keeps nothing alive.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/ob/filelock.h"
#include "loader/ob/name.h"
#include "loader/ob/record_file.h"
#include "loader/ob/runtime.h"

struct listing {
    void (*visit)(void *user, const struct ob_record_info *info);
    void *user;
};

static bool read_info(int fd, struct ob_record_info *info, void *body)
{
    struct ob_record_facts facts;
    if (!nt_ok(ob_record_read(fd, &facts, NULL)))
        return false;
    const struct ob_name name = {facts.name, facts.header.name_units};
    ob_name_text(&name, facts.header.global, info->name);
    free(facts.name);
    info->type_id = facts.header.type_id;
    info->extra_size = facts.header.extra_size;
    info->dev = facts.dev;
    info->ino = facts.ino;
    info->body = body;
    return pread(fd, body, OB_RECORD_BODY, OB_RECORD_BODY_AT) == OB_RECORD_BODY;
}

/* A file that is just being filled has no holder yet and no header. */
static void visit_file(const struct listing *listing, int dir, const char *name)
{
    struct ob_record_info info = {0};
    uint8_t body[OB_RECORD_BODY] __attribute__((aligned(16)));
    struct stat st;
    int fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
        ob_lock_is_held(fd, OB_LOCK_ALIVE) && read_info(fd, &info, body))
        listing->visit(listing->user, &info);
    close(fd);
}

nt_status ob_record_each(void (*visit)(void *user, const struct ob_record_info *info), void *user,
                         struct pe_error *err)
{
    const struct listing listing = {visit, user};
    struct ob_runtime *runtime;
    nt_status status = ob_runtime_get(&runtime, err);
    if (!nt_ok(status))
        return status;
    int dir = openat(ob_runtime_fd(runtime), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = dir >= 0 ? fdopendir(dir) : NULL;
    if (!stream && dir >= 0)
        close(dir);
    for (struct dirent *entry; stream && (entry = readdir(stream));)
        if (strncmp(entry->d_name, "n-", 2) == 0)
            visit_file(&listing, ob_runtime_fd(runtime), entry->d_name);
    if (stream)
        closedir(stream);
    ob_runtime_put(runtime);
    return stream ? (nt_status)STATUS_SUCCESS
                  : pe_fail(err, STATUS_UNSUCCESSFUL, "cannot read the runtime directory");
}
