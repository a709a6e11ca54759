/*
 * Threads and the process as image code sees them: TEB, PEB, KUSER_SHARED_DATA, segment bases.
 *
 * x86-64 Windows code finds its TEB at gs:0, i386 code at fs:0; glibc uses the other segment on
 * each, so an attached thread simply keeps both (design, decision 6). A host thread is attached by
 * the public API at its first call, or by the fault handler when image code on it touches the TEB
 * first.
 */
#ifndef KE_KE_H
#define KE_KE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loader/abi.h"
#include "pe/status.h"

struct ke_teb; /* ke/teb.h */
struct ke_peb;

/* PEB, KUSER_SHARED_DATA and the fault handler; once per process, idempotent, thread-safe. */
nt_status ke_process_init(struct pe_error *err);
/* The same for a process that is going to be a program's (ke_process_set_image, _set_start): before
 * that it is nobody's, its parameters are empty strings, and no code of an image may run. */
nt_status ke_process_init_for_program(struct pe_error *err);
/*
 * Fills PEB.ImageBaseAddress and the process parameters. `argv` is quoted into a command line by
 * the rules of CommandLineToArgvW. Strings are UTF-8 and copied.
 */
nt_status ke_process_set_image(uint64_t base, const char *host_path, int argc, char *const *argv,
                               struct pe_error *err);
/* UTF-16, not terminated. */
struct ke_wide {
    const uint16_t *text;
    size_t length; /* units */
};
/* What CreateProcess was given for this process; all of it is copied. */
struct ke_start {
    struct ke_wide command_line, desktop;
    struct ke_wide title;        /* empty = the image's path */
    struct ke_wide runtime_data; /* lpReserved2, cbReserved2 */
    /* STARTUPINFO from dwX to wShowWindow: x, y, sizes, character counts, fill, flags, show. */
    uint32_t look[9];
};
/* The two halves of ke_process_set_image() for such a process: before others can look at it, and
 * once its image is loaded. */
nt_status ke_process_set_start(const char *host_path, const struct ke_start *start,
                               struct pe_error *err);
void ke_process_show_image(uint64_t base);
/* The handle values of RTL_USER_PROCESS_PARAMETERS.StandardInput/Output/Error. */
void ke_process_set_std_handles(uint32_t input, uint32_t output, uint32_t error);

/* Gives this thread a TEB, registers it with the loader. Cheap when it has one. */
nt_status ke_thread_attach(struct pe_error *err);
/* The same and, when the thread is new to the loader, DLL_THREAD_ATTACH to the modules. */
nt_status ke_thread_enter(struct pe_error *err);
/* DLL_THREAD_DETACH and TEB gone. Runs by itself at the end of an attached thread. */
void ke_thread_leave(void);

/* Never NULL: a thread that is not attached yet enters (ke_thread_enter). */
struct ke_teb *ke_teb(void);
struct ke_peb *ke_peb(void); /* NULL before ke_process_init() */
uint32_t ke_thread_id(void);
uint32_t ke_process_id(void);
uint32_t ke_last_error(void);
void ke_set_last_error(uint32_t win32_error);
/* Stores NTSTATUS and its Win32 code; returns whether it was a success. */
int ke_set_last_status(nt_status status);
/* PF_* of IsProcessorFeaturePresent. */
bool ke_processor_feature(uint32_t number);

/* ---- threads made by images ---------------------------------------------------------------------
 */
struct ob_object;
struct ob_type;
extern const struct ob_type ke_thread_type;
typedef uint32_t(WINAPI *ke_thread_start)(void *parameter);
/* RtlUserThreadStart: where the context of a thread that was created suspended says it is. */
void WINAPI ke_user_thread_start(ke_thread_start routine, void *parameter);
/* Whether the calling thread is the only one that is attached. */
bool ke_thread_is_last(void);
/* A waitable thread object (one reference). */
nt_status ke_thread_create(ke_thread_start start, void *parameter, uint64_t stack_size,
                           bool suspended, struct ob_object **out, uint32_t *thread_id,
                           struct pe_error *err);
nt_status ke_thread_resume(struct ob_object *thread, uint32_t *previous_count);
/* The thread has stopped when this returns (ke/suspend.h): 0xC000004A at 127 times, 0xC000004B for
 * one that has ended. */
nt_status ke_thread_suspend(struct ob_object *thread, uint32_t *previous_count);
#define KE_STILL_ACTIVE 259u
uint32_t ke_thread_exit_code(struct ob_object *thread); /* KE_STILL_ACTIVE while it lives */
uint32_t ke_thread_id_of(struct ob_object *thread);
struct ob_object *ke_thread_current(void);                /* a new reference */
struct ob_object *ke_thread_by_id(uint32_t id);           /* the same, NULL: no such thread */
int32_t *ke_thread_priority_of(struct ob_object *thread); /* THREAD_PRIORITY_*, for images to see */
void ke_thread_exit(uint32_t code) __attribute__((noreturn));
/*
 * The calling thread, made by ke_thread_create(), is none that a process lives for: a worker of a
 * thread pool. What it still has to do holds the process, one hold a piece of work.
 */
void ke_thread_background(void);
void ke_live_hold(void);
void ke_live_release(void);
/*
 * Runs image code on this thread such that ke_thread_exit() returns from here with its code: the
 * entry point of an EXE. Waits for the threads that images created: a Windows process lives until
 * its last thread ends. This thread stays attached.
 */
uint32_t ke_run(ke_thread_start start, void *parameter);

/*
 * Ends the process as ExitProcess does: images detached once, standard streams flushed, exit().
 * Other threads keep running until then. The status is the code's low 8 bits, but never 0 for a
 * failure.
 */
void ke_process_exit(uint32_t code) __attribute__((noreturn));
/* As TerminateProcess does: nothing is detached. */
void ke_process_terminate(uint32_t code) __attribute__((noreturn));
bool ke_process_exiting(void);
int ke_process_exit_status(uint32_t code);

/* ---- exceptions: only what a load needs; dispatch to frame handlers is not here yet -------------
 */
/* A software exception: vectored handlers, then the unhandled filter, then a report and process
 * exit. */
void ke_raise(uint32_t code, uint32_t flags, uint32_t count, const uintptr_t *parameters);
void *ke_add_vectored(int first, void *handler, bool is_continue);
uint32_t ke_remove_vectored(void *registration);
void *ke_set_unhandled_filter(void *filter);

#endif
