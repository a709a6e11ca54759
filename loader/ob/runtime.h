/*
 * The per-user runtime directory, and what the files of this room make of errno.
 */
#ifndef OB_RUNTIME_H
#define OB_RUNTIME_H

#include <stdbool.h>

#include "pe/status.h"

/* Records `error` (an errno value) as the NTSTATUS nearest to it: "text: strerror". Returns the
 * status. */
nt_status ob_fail_errno(struct pe_error *err, int error, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Whether an open that failed with `error` can be tried again: after EMFILE, when the process's
 * soft limit of descriptors could be raised. Every named object needs one, and images do not expect
 * to run out of handles at 1024.
 */
bool ob_more_descriptors(int error);

/* The directory, open as long as somebody uses it: one descriptor for all backings of a process. */
struct ob_runtime;
/* A new reference; the directory is created when missing. */
nt_status ob_runtime_get(struct ob_runtime **out, struct pe_error *err);
void ob_runtime_put(struct ob_runtime *runtime);
int ob_runtime_fd(const struct ob_runtime *runtime);

/* Removes the files of the directory that nobody uses: what killed processes have left. */
void ob_runtime_sweep(int runtime);

#endif
