/*
 * What images find in the PEB beyond what ke/ writes: process heap, standard handles, environment
 * (win32/process.h).
 */
#include "loader/win32/process.h"

#include <pthread.h>
#include <unistd.h>

#include "loader/ke/ke.h"
#include "loader/ke/teb.h"
#include "loader/ob/process.h"
#include "loader/win32/errors.h"
#include "loader/win32/file.h"
#include "loader/win32/heap.h"

bool win32_is_this_process(HANDLE process)
{
    struct ob_object *object;
    if (process == CURRENT_PROCESS)
        return true;
    nt_status status = ob_handle_get(win32_ob_handle(process), &ob_process_type, &object, NULL);
    if (!nt_ok(status))
        return win32_fail(ERROR_INVALID_HANDLE);
    bool is_this = ob_process_is_current(object);
    ob_object_unref(object);
    return is_this || win32_fail(ERROR_ACCESS_DENIED);
}

nt_status win32_handle_close(HANDLE handle)
{
    if (handle == CURRENT_PROCESS || handle == CURRENT_THREAD)
        return STATUS_SUCCESS;
    return ob_handle_close(win32_ob_handle(handle));
}

/* The host's streams stay the host's: their descriptors are not closed with the handles. */
static uint32_t standard_handle(int fd, uint32_t access)
{
    HANDLE handle = win32_file_from_fd(fd, access, false);
    if (handle == INVALID_HANDLE_VALUE)
        return 0;
    ob_handle_flags(win32_ob_handle(handle), 1, 1, NULL); /* children share them */
    return win32_ob_handle(handle);
}

static bool std_handles_set;

void win32_process_set_std_handles(uint32_t input, uint32_t output, uint32_t error)
{
    ke_process_set_std_handles(input, output, error);
    std_handles_set = true;
}

static void setup(void)
{
    struct ke_peb *peb = ke_peb();
    peb->ProcessHeap = win32_process_heap();
    if (!std_handles_set) {
        uint32_t in = standard_handle(STDIN_FILENO, GENERIC_READ);
        uint32_t out = standard_handle(STDOUT_FILENO, GENERIC_WRITE);
        uint32_t err = standard_handle(STDERR_FILENO, GENERIC_WRITE);
        win32_process_set_std_handles(in, out, err);
    }
    win32_environment_install();
}

void win32_process_setup(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, setup);
}
