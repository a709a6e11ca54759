/*
 * What killed processes leave in the runtime directory: files that nobody holds. They do no harm,
 * since the next opener starts their content afresh, but nobody else would ever remove them.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/ob/filelock.h"
#include "loader/ob/runtime.h"

/* Is the name still that of the open file, and that a plain one of this user? */
static bool is_own_file(int dir, const char *name, int fd)
{
    struct stat open_file, named;
    return fstat(fd, &open_file) == 0 && S_ISREG(open_file.st_mode) &&
           open_file.st_uid == geteuid() && fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           open_file.st_dev == named.st_dev && open_file.st_ino == named.st_ino;
}

/* Never waits: a file that is being opened is not a dead one. */
static void remove_if_dead(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    if (ob_lock_opening_now(fd) && is_own_file(dir, name, fd) && ob_lock_alone(fd))
        unlinkat(dir, name, 0);
    ob_unlock_alive(fd); /* not left to close(): a fork of the host may hold the description */
    ob_unlock_opening(fd);
    close(fd);
}

/* Without memory of the heap: a process that ends may do so because its heap is damaged. */
void ob_runtime_sweep(int runtime)
{
    _Alignas(struct dirent64) char buffer[4096];
    int dir = openat(runtime, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return;
    for (ssize_t size; (size = getdents64(dir, buffer, sizeof buffer)) > 0;) {
        for (ssize_t at = 0; at < size;) {
            const struct dirent64 *entry = (const struct dirent64 *)(buffer + at);
            if (entry->d_name[0] != '.' && (entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN))
                remove_if_dead(runtime, entry->d_name);
            at += entry->d_reclen;
        }
    }
    close(dir);
}
