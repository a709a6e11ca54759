/*
 * How processes end: exit codes, times, termination (process.h).
 *
 * A process's own code is in its record. For one that was killed its parent writes what wait(2)
 * says into the record, if the parent is peldr, so everybody reads the same.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "loader/ob/process_object.h"
#include "loader/ob/wire.h"

#define KILLED_EXIT_CODE 1u /* what a task manager ends processes with */

/* Who sees the end of a process first takes its status; others wait until that is done. */
static pthread_mutex_t end_lock = PTHREAD_MUTEX_INITIALIZER;

/* What a process that was killed would have ended with on Windows. */
static uint32_t code_of_signal(int number)
{
    static const struct {
        int number;
        uint32_t code;
    } codes[] = {
        {SIGABRT, 3}, /* abort() of the C runtime */
        {SIGBUS, (uint32_t)STATUS_IN_PAGE_ERROR},
        {SIGFPE, 0xC0000094},                      /* STATUS_INTEGER_DIVIDE_BY_ZERO */
        {SIGHUP, (uint32_t)STATUS_CONTROL_C_EXIT}, /* as closing the console does */
        {SIGILL, 0xC000001D},                      /* STATUS_ILLEGAL_INSTRUCTION */
        {SIGINT, (uint32_t)STATUS_CONTROL_C_EXIT},
        {SIGQUIT, (uint32_t)STATUS_CONTROL_C_EXIT}, /* Ctrl+Break */
        {SIGSEGV, (uint32_t)STATUS_ACCESS_VIOLATION},
        {SIGTRAP, (uint32_t)STATUS_BREAKPOINT},
    };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].number == number)
            return codes[i].code;
    return KILLED_EXIT_CODE;
}

/* The child's own code is in its record, if it came to write one: otherwise everybody who reads the
 * record gets what its parent got. */
static void reap(struct process *process)
{
    siginfo_t info = {0};
    int result;
    do
        result = waitid(P_PIDFD, (id_t)process->parts.pidfd, &info, WEXITED | WNOHANG);
    while (result != 0 && errno == EINTR);
    if (result != 0 || info.si_pid == 0) /* the host program was faster, or ignores SIGCHLD */
        return;
    uint32_t code = info.si_code == CLD_EXITED ? (uint32_t)info.si_status & 0xff
                                               : code_of_signal(info.si_status);
    ob_process_record_end(process->parts.record_fd, code);
}

static void note_end(struct process *process)
{
    pthread_mutex_lock(&end_lock);
    if (!process->reaped) {
        if (process->child)
            reap(process);
        process->end_time = ob_process_now();
        process->reaped = true;
    }
    pthread_mutex_unlock(&end_lock);
    ob_wait_lock();
    if (!process->ended) {
        process->ended = true;
        ob_wait_wake();
    }
    ob_wait_unlock();
}

void ob_process_told_end(void *user)
{
    struct process *process = user;
    note_end(process);
    if (process->child)
        ob_object_unref(&process->object);
}

bool ob_process_has_ended(struct process *process)
{
    if (ob_process_is_current(&process->object) || !ob_pidfd_ended(process->parts.pidfd))
        return false;
    note_end(process);
    return true;
}

/*
 * A process that was killed leaves no code of its own; its parent writes one when it reaps it, if
 * that is peldr. Who was told of the end earlier gives it a moment.
 */
static bool recorded_end(struct process *process, uint32_t *code, int64_t *time)
{
    enum { TRIES = 20 };
    const struct timespec pause = {0, 5000000};
    for (int i = 0; i < TRIES; i++) {
        bool is_zombie = pidfd_send_signal(process->parts.pidfd, 0, NULL, 0) == 0;
        if (ob_process_record_read(process->parts.record_fd, code, time))
            return true;
        if (!is_zombie)
            break;
        nanosleep(&pause, NULL);
    }
    return false;
}

uint32_t ob_process_exit_code(struct ob_object *object)
{
    struct process *process = (struct process *)object;
    uint32_t code;
    if (!ob_process_has_ended(process))
        return OB_STILL_ACTIVE;
    return recorded_end(process, &code, NULL) ? code : KILLED_EXIT_CODE;
}

/* From clock ticks since boot. */
static int64_t time_of_start(uint64_t ticks)
{
    struct timespec up;
    long per_second = sysconf(_SC_CLK_TCK);
    clock_gettime(CLOCK_BOOTTIME, &up);
    int64_t since_boot = (int64_t)up.tv_sec * 10000000 + up.tv_nsec / 100;
    return ob_process_now() - since_boot + (int64_t)(ticks * (10000000 / (uint64_t)per_second));
}

void ob_process_times(struct ob_object *object, int64_t *creation, int64_t *exit)
{
    struct process *process = (struct process *)object;
    uint32_t code;
    uint64_t start =
        ob_process_is_current(object) ? ob_process_start(process->parts.id) : process->parts.start;
    *creation = time_of_start(start);
    *exit = 0;
    if (ob_process_has_ended(process) && !recorded_end(process, &code, exit))
        *exit = process->end_time;
}

nt_status ob_process_terminate(struct ob_object *object, uint32_t exit_code)
{
    struct process *process = (struct process *)object;
    if (ob_process_is_current(object))
        return STATUS_INVALID_PARAMETER;
    if (ob_process_has_ended(process))
        return STATUS_PROCESS_IS_TERMINATING;
    bool is_ours = ob_process_record_end(process->parts.record_fd, exit_code);
    if (pidfd_send_signal(process->parts.pidfd, SIGKILL, NULL, 0) == 0)
        return STATUS_SUCCESS;
    int error = errno;
    if (is_ours)
        ob_process_record_undo(process->parts.record_fd, exit_code);
    return error == ESRCH ? STATUS_PROCESS_IS_TERMINATING : STATUS_ACCESS_DENIED;
}

void ob_process_end_before_fork(void)
{
    pthread_mutex_lock(&end_lock);
}

void ob_process_end_after_fork(void)
{
    pthread_mutex_unlock(&end_lock);
}
