/*
 * Taking names out of the image cache's folder (cache_store.h): never one that has become another
 * file's meanwhile, and never a marked file's where that matters.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "loader/mm/cache_store.h"

bool mm_cache_unlink(int dir, const char *name, uint64_t dev, uint64_t ino)
{
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT;
    if (st.st_dev != dev || st.st_ino != ino)
        return false;
    return unlinkat(dir, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) == 0;
}

enum mm_cache_fate mm_cache_remove_unused(int dir, const char *name, uint64_t dev, uint64_t ino)
{
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    enum mm_cache_fate fate;
    struct stat st;

    /* What cannot be opened is not in use: nobody else could, either. But for this process having
     * no descriptors left. */
    if (fd < 0 && (errno == EMFILE || errno == ENFILE))
        return MM_CACHE_STAYS;
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && flock(fd, LOCK_EX | LOCK_NB) != 0)
        fate = MM_CACHE_IN_USE;
    else
        fate = mm_cache_unlink(dir, name, dev, ino) ? MM_CACHE_REMOVED : MM_CACHE_STAYS;
    if (fd >= 0)
        close(fd);
    return fate;
}
