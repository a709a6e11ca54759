/*
 * Waiting for the packets of a completion port (see port.h).
 */
#include "loader/win32/port.h"

#include <time.h>

#include "loader/ke/apc.h"
#include "loader/win32/waitable.h"

static int64_t now_milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A wait that ends with a signal may find that another thread was faster: it goes on. */
static nt_status wait_and_take(struct ob_object *port, struct ob_completion *packets,
                               uint32_t count, DWORD milliseconds, bool alertable, uint32_t *taken)
{
    int64_t end = milliseconds == OB_INFINITE ? INT64_MAX : now_milliseconds() + milliseconds;
    nt_status status = STATUS_SUCCESS;
    while (status == STATUS_SUCCESS) {
        uint32_t index;
        *taken = ob_port_take(port, packets, count);
        if (*taken)
            return STATUS_SUCCESS;
        int64_t left =
            milliseconds == OB_INFINITE ? (int64_t)OB_INFINITE : end - now_milliseconds();
        status = ke_wait(&port, 1, false, left > 0 ? (uint32_t)left : 0, alertable, &index);
    }
    return status;
}

nt_status win32_port_remove(HANDLE handle, struct ob_completion *packets, uint32_t count,
                            DWORD milliseconds, bool alertable, uint32_t *taken)
{
    struct ob_object *port;
    *taken = 0;
    nt_status status = win32_typed(handle, &ob_port_type, 0, &port);
    if (!nt_ok(status))
        return status;
    status = wait_and_take(port, packets, count, milliseconds, alertable, taken);
    ob_object_unref(port);
    ke_wait_done(status);
    return status;
}
