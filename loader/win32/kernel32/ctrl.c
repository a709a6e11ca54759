/*
 * Ctrl+C: SetConsoleCtrlHandler and GenerateConsoleCtrlEvent.
 *
 * Windows calls the handlers on a thread of its own, newest first, until one says that it has dealt
 * with the event; if none does, the process ends with STATUS_CONTROL_C_EXIT. The thread here starts
 * with the first handler and waits for what the signal handler writes into an eventfd.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "loader/ob/process.h"
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"

enum { CTRL_C_EVENT, CTRL_BREAK_EVENT };

typedef BOOL(WINAPI *ctrl_handler)(DWORD event);

static ctrl_handler *handlers;
static size_t handler_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int event_fd = -1;

static void on_signal(int number)
{
    int saved = errno;
    uint64_t event = number == SIGINT ? 1 : 0x10000; /* counts of both, in one word */
    ssize_t ignored = write(event_fd, &event, sizeof(event));
    (void)ignored;
    errno = saved;
}

static void call_handlers(DWORD event)
{
    pthread_mutex_lock(&lock);
    size_t next = handler_count;
    while (next > 0) {
        ctrl_handler handler = next <= handler_count ? handlers[next - 1] : NULL;
        next--;
        pthread_mutex_unlock(&lock);
        if (handler && handler(event))
            return;
        pthread_mutex_lock(&lock);
    }
    pthread_mutex_unlock(&lock);
    ke_process_exit(STATUS_CONTROL_C_EXIT);
}

static void *ctrl_thread(void *unused)
{
    uint64_t events;
    ke_thread_enter(NULL);
    while (read(event_fd, &events, sizeof(events)) == sizeof(events)) {
        if (events & 0xFFFF)
            call_handlers(CTRL_C_EVENT);
        if (events >> 16)
            call_handlers(CTRL_BREAK_EVENT);
    }
    return NULL;
}

/* Starts the thread and takes the signals. Lock held. */
static int start(void)
{
    pthread_t thread;
    pthread_attr_t attr;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    if (event_fd >= 0)
        return 0;
    event_fd = eventfd(0, EFD_CLOEXEC);
    if (event_fd < 0)
        return errno;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int error = pthread_create(&thread, &attr, ctrl_thread, NULL);
    pthread_attr_destroy(&attr);
    if (error) {
        close(event_fd);
        event_fd = -1;
        return error;
    }
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGQUIT, &action, NULL); /* Ctrl+Break has the key of the terminal's quit */
    return 0;
}

static uint32_t add_handler(ctrl_handler handler)
{
    int error = start();
    if (error)
        return win32_error_of_errno(error);
    ctrl_handler *grown = realloc(handlers, (handler_count + 1) * sizeof(*grown));
    if (!grown)
        return ERROR_NOT_ENOUGH_MEMORY;
    handlers = grown;
    handlers[handler_count++] = handler;
    return ERROR_SUCCESS;
}

static uint32_t remove_handler(ctrl_handler handler)
{
    for (size_t i = handler_count; i > 0; i--) {
        if (handlers[i - 1] != handler)
            continue;
        for (; i < handler_count; i++)
            handlers[i - 1] = handlers[i];
        handler_count--;
        return ERROR_SUCCESS;
    }
    return ERROR_INVALID_PARAMETER;
}

/* Without a handler the call is about ignoring Ctrl+C. */
static BOOL WINAPI_DEF k32_SetConsoleCtrlHandler(ctrl_handler handler, BOOL add)
{
    uint32_t error = ERROR_SUCCESS;
    pthread_mutex_lock(&lock);
    if (handler)
        error = add ? add_handler(handler) : remove_handler(handler);
    else
        signal(SIGINT, add ? SIG_IGN : event_fd >= 0 ? on_signal : SIG_DFL);
    pthread_mutex_unlock(&lock);
    return error ? win32_fail(error) : TRUE;
}

/*
 * Group 0 is the processes of this console. A group that CREATE_NEW_PROCESS_GROUP has made is its
 * first process here; as on Windows Ctrl+C cannot be sent to it, being ignored there.
 */
static BOOL WINAPI_DEF k32_GenerateConsoleCtrlEvent(DWORD event, DWORD group)
{
    struct ob_object *process;
    if (event > CTRL_BREAK_EVENT)
        return win32_fail(ERROR_INVALID_PARAMETER);
    if (group && !win32_result(ob_process_open(group, &process, NULL)))
        return FALSE;
    if (group)
        ob_object_unref(process);
    return kill((pid_t)group, event == CTRL_C_EVENT ? SIGINT : SIGQUIT) == 0 ||
           win32_fail_errno(errno);
}

const struct ldr_builtin_export kernel32_ctrl_exports[] = {
    LDR_FN(k32_, SetConsoleCtrlHandler),
    LDR_FN(k32_, GenerateConsoleCtrlEvent),
};
const size_t kernel32_ctrl_count = sizeof(kernel32_ctrl_exports) / sizeof(*kernel32_ctrl_exports);
