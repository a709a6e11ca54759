/*
 * What builtin modules keep for images between calls, in a snapshot.
 *
 * Most of it lies in the heaps of images and goes back with their memory. The rest is listed in
 * snapshot.c: the C runtime's state of the calling thread, handlers that images have installed,
 * exit functions, streams and descriptors. Not put back: environment, current directory, locale,
 * the state of the console, what has been read from or written to files.
 */
#ifndef WIN32_SNAPSHOT_H
#define WIN32_SNAPSHOT_H

#include "pe/status.h"

struct win32_snapshot;

nt_status win32_snapshot_take(struct win32_snapshot **out, struct pe_error *err);
/* Before handles and memory go back: closes the streams and descriptors that were opened since. */
void win32_snapshot_close(const struct win32_snapshot *snapshot);
/* After that. */
void win32_snapshot_reset(const struct win32_snapshot *snapshot);
void win32_snapshot_drop(struct win32_snapshot *snapshot); /* NULL is allowed */

#endif
