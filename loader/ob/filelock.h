/*
 * Locks that say who uses a backing file (fcntl(2), "Open file description locks").
 *
 * They belong to the open file description: all descriptors and mappings of one open() share them,
 * and the kernel drops them with the last of these, however the process ends.
 */
#ifndef OB_FILELOCK_H
#define OB_FILELOCK_H

#include <stdbool.h>

/* The byte that a lock is on. */
enum ob_lock_byte {
    OB_LOCK_OPENING, /* held exclusively while a file is opened or closed */
    OB_LOCK_ALIVE,   /* held shared by everybody who uses the file */
};

/* Waits for others to get on. */
bool ob_lock_opening(int fd);
/* Waits at most some 100 ms: for a process that is about to end. */
bool ob_lock_opening_soon(int fd);
/* Does not wait. */
bool ob_lock_opening_now(int fd);
void ob_unlock_opening(int fd);

bool ob_lock_alive(int fd);
/* Holding OPENING: true (and ALIVE held exclusively) when no other description uses the file. */
bool ob_lock_alone(int fd);
void ob_unlock_alive(int fd);

/* Whether any other description holds the lock; takes nothing. */
bool ob_lock_is_held(int fd, enum ob_lock_byte byte);

#endif
