/*
 * Backing files shared by processes (design, decision 8).
 *
 * A backing lives in the per-user runtime directory ($XDG_RUNTIME_DIR/peldr, else /tmp/peldr-UID;
 * mode 0700, owner checked, no symlink followed) and carries open-file-description locks, which the
 * kernel drops when the last descriptor goes, by kill -9 too. Whoever opens it and finds no live
 * holder starts the content afresh; whoever closes it as the last one removes the file. What a
 * killed process leaves is removed by the next process that uses the directory, when it first opens
 * it and when it ends.
 *
 * An anonymous backing is a memfd: it has no name, needs no locks, and goes with its last
 * descriptor.
 */
#ifndef OB_BACKING_H
#define OB_BACKING_H

#include "loader/mm/section.h"

struct ob_backing;

typedef nt_status (*ob_backing_init)(void *user, int fd, struct pe_error *err);

struct ob_backing_how {
    const char *key; /* a file name made of [0-9a-z.-] */
    uint64_t size;   /* bytes of a fresh one */
    bool any_size;   /* the live holders may use another size */
    bool existing;   /* only one that has a live holder: else STATUS_OBJECT_NAME_NOT_FOUND */
    bool sparse;     /* `init` reserves the disk space itself */
    /*
     * Writes the initial content (zeroes before) when there is no live holder; no other process
     * sees a half-written one. May be NULL. Must not open the same key.
     */
    ob_backing_init init;
    void *user;
};
/*
 * `created` (may be NULL): whether this call initialised it. The whole size is reserved on disk
 * (STATUS_DISK_FULL). STATUS_FILE_INVALID when the live holders use another size.
 */
nt_status ob_backing_open_as(const struct ob_backing_how *how, struct ob_backing **out,
                             bool *created, struct pe_error *err);
/* The plain form: of that size, created when missing. */
nt_status ob_backing_open(const char *key, uint64_t size, ob_backing_init init, void *user,
                          struct ob_backing **out, bool *created, struct pe_error *err);
/* `how->key` is what /proc shows. */
nt_status ob_backing_create_anonymous(const struct ob_backing_how *how, struct ob_backing **out,
                                      struct pe_error *err);
int ob_backing_fd(const struct ob_backing *backing);
/*
 * Gives up holding it. Views of it stay, but do not keep it alive: who opens the key afterwards
 * starts another one. NULL is allowed. A forked child shares its parent's descriptor: it holds
 * nothing by itself, and closing there does nothing to the parent's hold.
 */
void ob_backing_close(struct ob_backing *backing);

/*
 * For another process: a descriptor with a file description of its own, which counts as a holder as
 * long as it is open somewhere. The sender's own must not be given away: closing ends its hold for
 * all who share it.
 */
nt_status ob_backing_share(const struct ob_backing *backing, int *fd, struct pe_error *err);
/* The receiver's side: takes `fd`, on failure too. `key` NULL = anonymous. */
nt_status ob_backing_adopt(const char *key, int fd, struct ob_backing **out, struct pe_error *err);

/*
 * The process is about to end: gives up all its backings, and sweeps. Registered for exit(); who
 * ends the process by _exit() calls it before. Idempotent; waits for nobody longer than a moment.
 */
void ob_backing_leave(void);

/* The backing of an image file's SHARED PE sections: key from its identity, content from the image.
 */
nt_status ob_backing_open_image(struct mm_section *section, struct ob_backing **out, bool *created,
                                struct pe_error *err);

/* The runtime directory as a descriptor that the caller closes; created when missing. */
nt_status ob_runtime_dir(int *fd, struct pe_error *err);

#endif
