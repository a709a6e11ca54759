/*
 * The state of images in builtin modules (win32/snapshot.h).
 */
#include "loader/win32/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "loader/state.h"
#include "loader/win32/crt/eh_state.h"
#include "loader/win32/crt/fd.h"
#include "loader/win32/crt/stream.h"

/* The linker's: where the variables of state.h begin and end. */
extern char __start_peldr_image_state[] __attribute__((visibility("hidden")));
extern char __stop_peldr_image_state[] __attribute__((visibility("hidden")));

struct win32_snapshot {
    struct crt_thread crt; /* of the thread that takes it */
    struct eh_state eh;
    unsigned last_stream, last_fd;
    char state[];
};

static size_t state_size(void)
{
    return (size_t)(__stop_peldr_image_state - __start_peldr_image_state);
}

nt_status win32_snapshot_take(struct win32_snapshot **out, struct pe_error *err)
{
    struct win32_snapshot *snapshot = calloc(1, sizeof(*snapshot) + state_size());
    *out = snapshot;
    if (!snapshot)
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for a snapshot");
    snapshot->crt = *crt_thread();
    snapshot->eh = *eh_state();
    snapshot->last_stream = crt_stream_last();
    snapshot->last_fd = crt_fd_last();
    memcpy(snapshot->state, __start_peldr_image_state, state_size());
    return STATUS_SUCCESS;
}

void win32_snapshot_close(const struct win32_snapshot *snapshot)
{
    crt_stream_close_after(snapshot->last_stream);
    crt_fd_close_after(snapshot->last_fd);
}

void win32_snapshot_reset(const struct win32_snapshot *snapshot)
{
    *crt_thread() = snapshot->crt;
    *eh_state() = snapshot->eh;
    memcpy(__start_peldr_image_state, snapshot->state, state_size());
}

void win32_snapshot_drop(struct win32_snapshot *snapshot)
{
    free(snapshot);
}
