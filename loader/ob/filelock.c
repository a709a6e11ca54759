/*
 * Locks of backing files (see filelock.h).
 */
#include "loader/ob/filelock.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

static bool set_lock(int fd, enum ob_lock_byte byte, short type, int command)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    int result;
    do
        result = fcntl(fd, command, &lock);
    while (result != 0 && errno == EINTR);
    return result == 0;
}

bool ob_lock_opening(int fd)
{
    return set_lock(fd, OB_LOCK_OPENING, F_WRLCK, F_OFD_SETLKW);
}

bool ob_lock_opening_now(int fd)
{
    return set_lock(fd, OB_LOCK_OPENING, F_WRLCK, F_OFD_SETLK);
}

bool ob_lock_opening_soon(int fd)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int attempt = 0; attempt < 100; attempt++) {
        if (ob_lock_opening_now(fd))
            return true;
        if (errno != EAGAIN && errno != EACCES)
            return false;
        nanosleep(&pause, NULL);
    }
    return false;
}

void ob_unlock_opening(int fd)
{
    set_lock(fd, OB_LOCK_OPENING, F_UNLCK, F_OFD_SETLK);
}

bool ob_lock_alive(int fd)
{
    return set_lock(fd, OB_LOCK_ALIVE, F_RDLCK, F_OFD_SETLK);
}

bool ob_lock_alone(int fd)
{
    return set_lock(fd, OB_LOCK_ALIVE, F_WRLCK, F_OFD_SETLK);
}

void ob_unlock_alive(int fd)
{
    set_lock(fd, OB_LOCK_ALIVE, F_UNLCK, F_OFD_SETLK);
}

bool ob_lock_is_held(int fd, enum ob_lock_byte byte)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}
