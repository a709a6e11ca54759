/*
 * The child's side of CreateProcess (child.h): what the letter holds becomes this process's.
 *
 * Nothing of an image has run yet and the handle table is empty, so handles get the values that
 * they have in the parent.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loader/mm/section.h"
#include "loader/ob/process.h"
#include "loader/win32/child.h"
#include "loader/win32/file.h"
#include "loader/win32/process.h"

static void take_handle(struct child_handle *from)
{
    struct ob_object *object;
    if (!nt_ok(ob_unpack(&from->parcel, &object, NULL))) {
        from->parcel.fd_count = 0; /* gone with the attempt */
        return;
    }
    from->parcel.fd_count = 0;
    ob_handle_insert(from->handle, object, from->access, from->flags);
    ob_object_unref(object);
}

static bool is_open(uint32_t handle)
{
    return handle && nt_ok(ob_handle_flags(handle, 0, 0, NULL));
}

/* A standard handle that came with the others, or one over the host's stream. */
static uint32_t standard_handle(const struct child_look *look, int i)
{
    static const uint32_t access[] = {GENERIC_READ, GENERIC_WRITE, GENERIC_WRITE};
    if (is_open(look->std[i]) || !(look->flags & (uint32_t)CHILD_STD_STREAM << i))
        return look->std[i];
    HANDLE handle = win32_file_from_fd(i, access[i], false);
    if (handle == INVALID_HANDLE_VALUE)
        return 0;
    ob_handle_flags(win32_ob_handle(handle), 1, 1, NULL);
    return win32_ob_handle(handle);
}

static nt_status take(struct child_letter *letter, struct pe_error *err)
{
    nt_status status = ob_process_record_take(letter->record_fd, err);
    letter->record_fd = -1;
    if (!nt_ok(status))
        return status;
    mm_set_windows((enum pe_windows)(letter->look.flags >> CHILD_WINDOWS_AT & PE_WINDOWS_ALL));
    for (uint32_t i = 0; i < letter->handle_count; i++)
        take_handle(&letter->handles[i]);
    win32_process_set_std_handles(standard_handle(&letter->look, 0),
                                  standard_handle(&letter->look, 1),
                                  standard_handle(&letter->look, 2));
    struct ke_wide environment = child_letter_text(letter, CHILD_ENVIRONMENT);
    if (!win32_environment_take(environment.text, environment.length))
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for the environment");
    return STATUS_SUCCESS;
}

nt_status child_arrive(int socket, struct child_letter *out, struct pe_error *err)
{
    fcntl(socket, F_SETFD, FD_CLOEXEC);
    nt_status status = child_letter_receive(socket, out, err);
    if (!nt_ok(status))
        return status;
    status = take(out, err);
    if (!nt_ok(status))
        child_letter_free(out);
    else if (out->look.flags & CHILD_NO_CTRL_C)
        signal(SIGINT, SIG_IGN);
    return status;
}

void child_report(int socket, nt_status status)
{
    struct child_report report = {status, ke_thread_id()};
    send(socket, &report, sizeof(report), MSG_NOSIGNAL);
    close(socket);
}
