/*
 * Backing files shared by processes (design, decision 8).
 *
 * A backing lives in the per-user runtime directory ($XDG_RUNTIME_DIR/peldr, else /tmp/peldr-UID;
 * mode 0700, owner checked, no symlink followed) and carries open-file-description locks, which the
 * kernel drops when the last descriptor goes, by kill -9 too. Whoever opens it and finds no live
 * holder starts the content afresh; whoever closes it as the last one removes the file.
 */
#ifndef OB_BACKING_H
#define OB_BACKING_H

#include "loader/mm/section.h"

struct ob_backing;

typedef nt_status (*ob_backing_init)(void *user, int fd, struct pe_error *err);

/*
 * Opens or starts the backing `key` (a file name made of [0-9a-z.-]) of `size` bytes. `init` writes
 * the initial content when there is no live holder; no other process sees a half-written one.
 * `created` (may be NULL): whether this call initialised it. The whole size is reserved on disk.
 * STATUS_FILE_INVALID when the live holders use another size. `init` must not open the same key.
 */
nt_status ob_backing_open(const char *key, uint64_t size, ob_backing_init init, void *user,
                          struct ob_backing **out, bool *created, struct pe_error *err);
int ob_backing_fd(const struct ob_backing *backing);
/*
 * To be called after the views of it are gone; NULL is allowed. A forked child shares its parent's
 * descriptor: the first of the two to close ends the use of both, as far as later openers can see.
 */
void ob_backing_close(struct ob_backing *backing);

/* The backing of an image file's SHARED PE sections: key from its identity, content from the image.
 */
nt_status ob_backing_open_image(struct mm_section *section, struct ob_backing **out, bool *created,
                                struct pe_error *err);

/* The runtime directory as a descriptor that the caller closes; created when missing. */
nt_status ob_runtime_dir(int *fd, struct pe_error *err);

#endif
