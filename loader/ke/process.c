/*
 * The PEB, and how the process begins and ends for images.
 *
 * Threads at the end: Windows kills all other threads before it detaches the modules. On Linux no
 * thread can be killed safely from outside, so the others keep running until exit() takes the
 * process down.
 */
#include "loader/ke/process.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loader/ke/later.h"
#include "loader/ke/os.h"
#include "loader/ke/slots.h"
#include "loader/ke/suspend.h"
#include "loader/ke/thread.h"
#include "loader/ldr/builtin.h"
#include "loader/mm/snapshot.h"
#include "loader/ob/backing.h"
#include "loader/ob/object.h"
#include "loader/ob/process.h"

static pthread_mutex_t init_mutex = PTHREAD_MUTEX_INITIALIZER;
/* How far the set-up has come: the PEB is there, the parameters are somebody's. */
static enum progress { NOTHING, NOBODYS, COMPLETE } progress;
static pthread_key_t leave_key;
static struct ke_peb *peb;
static struct ke_critical_section fast_peb_lock = {.LockCount = -1};
static struct ke_critical_section loader_lock = {.LockCount = -1};
static int exiting_thread; /* Linux thread id, 0 = the process lives */

struct ke_peb *ke_peb(void)
{
    return peb;
}

uint32_t ke_process_id(void)
{
    return (uint32_t)getpid();
}

static void leave_at_thread_end(void *unused)
{
    (void)unused;
    ke_thread_leave();
}

void ke_process_watch_thread(struct ke_thread *thread)
{
    pthread_setspecific(leave_key, thread);
}

/* A forked child has new ids. */
static void refresh_ids(void)
{
    ke_later_forget();
    if (!ke_current)
        return;
    struct ke_teb *teb = ke_current->teb;
    ke_current->object->id = ke_current->object->wait.id = (uint32_t)syscall(SYS_gettid);
    teb->ProcessId = teb->RealProcessId = ke_process_id();
    teb->ThreadId = teb->RealThreadId = ke_current->object->id;
}

static uintptr_t affinity_mask(uint32_t *count)
{
    cpu_set_t cpus;
    uintptr_t mask = 0;
    *count = 0;
    if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0)
        CPU_ZERO(&cpus);
    for (unsigned i = 0; i < sizeof(mask) * 8; i++) {
        if (CPU_ISSET(i, &cpus)) {
            mask |= (uintptr_t)1 << i;
            ++*count;
        }
    }
    if (mask == 0) /* all of ours lie beyond the first group */
        mask = *count = 1;
    return mask;
}

/* Values of an ordinary Windows 10 process; the heap's tunables are the linker's defaults. */
static void fill_peb(struct ke_peb *p)
{
    p->Mutant = (void *)UINTPTR_MAX;
    p->Ldr = ldr_peb_ldr();
    p->FastPebLock = &fast_peb_lock;
    p->LoaderLock = &loader_lock;
    ke_slots_init(p);
    p->ActiveProcessAffinityMask = affinity_mask(&p->NumberOfProcessors);
    p->CriticalSectionTimeout = -INT64_C(25920000000000); /* 30 days in 100 ns */
    p->HeapSegmentReserve = 0x100000;
    p->HeapSegmentCommit = 0x2000;
    p->HeapDeCommitTotalFreeThreshold = 0x10000;
    p->HeapDeCommitFreeBlockThreshold = 0x1000;
    p->MaximumNumberOfHeaps = 16;
    ke_os_show(p);
    p->ImageSubsystem = IMAGE_SUBSYSTEM_WINDOWS_CUI;
    p->ImageSubsystemMajorVersion = 6;
    p->SessionId = 1;
}

/*
 * The host's arguments lie in a row where the kernel has put them, whatever becomes of argv later.
 * glibc tells every object's constructors.
 */
static const char *first_argument;
static int argument_count;

__attribute__((constructor)) static void note_arguments(int argc, char **argv)
{
    first_argument = argc > 0 ? argv[0] : NULL;
    argument_count = first_argument ? argc : 0;
}

/* The command line of the host, malloc'ed; NULL = no memory. */
static char *host_command_line(void)
{
    uintptr_t end = (uintptr_t)getauxval(AT_EXECFN); /* it ends the environment's strings */
    char **argv = calloc((size_t)argument_count + 1, sizeof(*argv)), *line = NULL;
    const char *at = first_argument;
    int argc = 0;
    if (!argv)
        return NULL;
    for (; argc < argument_count && (uintptr_t)at < end; at += strlen(at) + 1)
        argv[argc++] = (char *)(uintptr_t)at;
    line = ke_command_line(argc, argv);
    free(argv);
    return line;
}

/* What there is until somebody says whose process it is: empty strings. */
static uint16_t nothing;
#define EMPTY                        \
    {                                \
        0, sizeof(nothing), &nothing \
    }
static struct ke_process_parameters nobodys = {
    .CurrentDirectory.DosPath = EMPTY,
    .DllPath = EMPTY,
    .ImagePathName = EMPTY,
    .CommandLine = EMPTY,
    .WindowTitle = EMPTY,
    .DesktopInfo = EMPTY,
    .ShellInfo = EMPTY,
    .RuntimeData = EMPTY,
};

static nt_status set_parameters(const struct ke_parameters *source, struct pe_error *err)
{
    struct ke_process_parameters *fresh, *old = peb->ProcessParameters;
    nt_status status = ke_parameters_build(source, &fresh, err);
    if (!nt_ok(status))
        return status;
    fresh->StandardInput = old->StandardInput;
    fresh->StandardOutput = old->StandardOutput;
    fresh->StandardError = old->StandardError;
    peb->ProcessParameters = fresh; /* the old block stays: code may hold pointers into it */
    return STATUS_SUCCESS;
}

/* Until an EXE is run, the host program is the process: /proc/self/exe and its arguments. */
static nt_status set_host_parameters(struct pe_error *err)
{
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    path[length > 0 ? length : 0] = 0;
    char *line = host_command_line();
    if (!line)
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for the command line");
    struct ke_parameters source = {path, line, NULL};
    nt_status status = set_parameters(&source, err);
    free(line);
    return status;
}

static nt_status process_init(struct pe_error *err)
{
    uint64_t base = 0, size = sizeof(*peb);
    nt_status status = mm_alloc(&base, &size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, err);
    if (!nt_ok(status))
        return status;
    mm_exempt(base);
    struct ke_peb *fresh = (struct ke_peb *)(uintptr_t)base;
    fill_peb(fresh);
    fresh->ProcessParameters = &nobodys;
    if (pthread_key_create(&leave_key, leave_at_thread_end) != 0)
        status = pe_fail(err, STATUS_INSUFFICIENT_RESOURCES, "no pthread key left");
    if (!nt_ok(status)) {
        mm_free(base, 0, MEM_RELEASE, NULL);
        return status;
    }
    peb = fresh;
    pthread_atfork(NULL, NULL, refresh_ids);
    ldr_set_trap_handler(ke_trap);
    ke_kuser_init();
    ke_fault_install();
    ke_suspend_init();
    return STATUS_SUCCESS;
}

static void reach(enum progress now)
{
    __atomic_store_n(&progress, now, __ATOMIC_RELEASE);
}

static nt_status initialise(enum progress wanted, struct pe_error *err)
{
    if (__atomic_load_n(&progress, __ATOMIC_ACQUIRE) >= wanted)
        return STATUS_SUCCESS;
    nt_status status = STATUS_SUCCESS;
    pthread_mutex_lock(&init_mutex);
    if (progress == NOTHING) {
        status = process_init(err);
        if (nt_ok(status))
            reach(NOBODYS);
    }
    if (nt_ok(status) && progress < wanted) {
        status = set_host_parameters(err);
        if (nt_ok(status))
            reach(COMPLETE);
    }
    pthread_mutex_unlock(&init_mutex);
    return status;
}

nt_status ke_process_init(struct pe_error *err)
{
    return initialise(COMPLETE, err);
}

nt_status ke_process_init_for_program(struct pe_error *err)
{
    return initialise(NOBODYS, err);
}

void ke_process_show_image(uint64_t base)
{
    struct ldr_module *module = ldr_find_by_address(base);
    peb->ImageBaseAddress = (void *)(uintptr_t)base;
    if (module) {
        const struct pe_headers *headers = &ldr_module_image(module)->h;
        peb->ImageSubsystem = headers->subsystem;
        peb->ImageSubsystemMajorVersion = headers->major_subsystem_version;
        peb->ImageSubsystemMinorVersion = headers->minor_subsystem_version;
        ke_os_show(peb);
        ke_os_override(peb, ldr_module_image(module));
    }
}

static nt_status set_program_parameters(const struct ke_parameters *source, struct pe_error *err)
{
    pthread_mutex_lock(&init_mutex);
    nt_status status = set_parameters(source, err);
    if (nt_ok(status))
        reach(COMPLETE);
    pthread_mutex_unlock(&init_mutex);
    return status;
}

nt_status ke_process_set_image(uint64_t base, const char *host_path, int argc, char *const *argv,
                               struct pe_error *err)
{
    nt_status status = ke_process_init_for_program(err);
    if (!nt_ok(status))
        return status;
    char *line = ke_command_line(argc, argv);
    if (!line)
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for the command line");
    struct ke_parameters source = {host_path, line, NULL};
    status = set_program_parameters(&source, err);
    free(line);
    if (nt_ok(status))
        ke_process_show_image(base);
    return status;
}

nt_status ke_process_set_start(const char *host_path, const struct ke_start *start,
                               struct pe_error *err)
{
    struct ke_parameters source = {host_path, "", start};
    nt_status status = ke_process_init_for_program(err);
    return nt_ok(status) ? set_program_parameters(&source, err) : status;
}

void ke_process_set_std_handles(uint32_t input, uint32_t output, uint32_t error)
{
    struct ke_process_parameters *parameters = peb->ProcessParameters;
    parameters->StandardInput = (void *)(uintptr_t)input;
    parameters->StandardOutput = (void *)(uintptr_t)output;
    parameters->StandardError = (void *)(uintptr_t)error;
}

void ke_process_die(const char *text)
{
    fprintf(stderr, "peldr: %s\n", text);
    abort();
}

bool ke_process_exiting(void)
{
    return __atomic_load_n(&exiting_thread, __ATOMIC_ACQUIRE) != 0;
}

/* A Linux exit status has 8 bits; a failure must not turn into success by losing the others. */
int ke_process_exit_status(uint32_t code)
{
    int status = (int)(code & 0xff);
    return status == 0 && code != 0 ? 1 : status;
}

void ke_process_terminate(uint32_t code)
{
    fflush(NULL);
    ob_process_set_exit_code(code);
    ob_handle_leave();
    ob_backing_leave();
    _exit(ke_process_exit_status(code));
}

void ke_process_exit(uint32_t code)
{
    int self = (int)syscall(SYS_gettid), nobody = 0;
    if (ke_current)
        ke_fls_run_callbacks(ke_current->teb);
    if (!__atomic_compare_exchange_n(&exiting_thread, &nobody, self, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        if (nobody == self) /* ExitProcess in a DllMain that is being detached */
            ke_process_terminate(code);
        for (;;) /* another thread is ending the process: on Windows this one would be gone */
            pause();
    }
    ldr_process_detach();
    fflush(NULL);
    ob_process_set_exit_code(code);
    exit(ke_process_exit_status(code));
}
