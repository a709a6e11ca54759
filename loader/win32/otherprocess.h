/*
 * Processes by handle: this one and others in which peldr runs.
 *
 * A 64-bit process and a 32-bit one see each other. Towards images the 64-bit peldr is a 64-bit
 * Windows, on which 32-bit processes are WOW64's; the 32-bit peldr is a 32-bit Windows, on which no
 * process is (and GetNativeSystemInfo says x86).
 */
#ifndef WIN32_OTHERPROCESS_H
#define WIN32_OTHERPROCESS_H

#include "loader/ob/process.h"
#include "loader/win32/types.h"

enum {
    PROCESS_TERMINATE = 0x1,
    PROCESS_VM_OPERATION = 0x8,
    PROCESS_VM_READ = 0x10,
    PROCESS_VM_WRITE = 0x20,
    PROCESS_DUP_HANDLE = 0x40,
    PROCESS_SET_QUOTA = 0x100,
    PROCESS_SET_INFORMATION = 0x200,
    PROCESS_QUERY_INFORMATION = 0x400,
    PROCESS_SUSPEND_RESUME = 0x800,
    PROCESS_QUERY_LIMITED_INFORMATION = 0x1000,
    PROCESS_ALL_ACCESS = 0x1FFFFF,
};

/* The process behind a handle, CURRENT_PROCESS included, that grants `needed`. A new reference. */
nt_status win32_process(HANDLE handle, uint32_t needed, struct ob_object **out);
/* The same with the last error set on failure. */
bool win32_process_get(HANDLE handle, uint32_t needed, struct ob_object **out);
/* A handle for OpenProcess: what `access` means is granted. */
nt_status win32_process_open(uint32_t id, uint32_t access, bool inherit, HANDLE *out);
nt_status win32_process_terminate(struct ob_object *process, uint32_t code);

/* What a process says about itself. */
struct win32_process_info {
    uint32_t word; /* 32 or 64 */
    uint32_t handle_count, subsystem;
    uint64_t peb;
    WCHAR *image_path; /* malloc'ed, Windows form */
};
/* STATUS_PROCESS_IS_TERMINATING when it has ended. Freed by win32_process_info_free(). */
nt_status win32_process_info(struct ob_object *process, struct win32_process_info *out);
void win32_process_info_free(struct win32_process_info *info);
/* The other side of it; once, before the service starts. */
void win32_process_info_register(void);

/* Processor time in 100 ns, of a process that runs; zeroes for one that has ended. */
void win32_process_cpu_times(struct ob_object *process, int64_t *kernel, int64_t *user);
uint32_t win32_process_parent(uint32_t id); /* 0 = unknown */
uint32_t win32_process_thread_count(uint32_t id);

/*
 * Copies between `buffer` and `address` in a process, this one or another, through the kernel: a
 * bad address is an error and no fault (STATUS_PARTIAL_COPY for a read, STATUS_ACCESS_VIOLATION for
 * a write, with `*moved` 0). STATUS_ACCESS_DENIED where the handle does not allow it or the system
 * does not let one process see into another.
 */
nt_status win32_process_copy(HANDLE process, const void *address, const void *buffer, SIZE_T size,
                             bool writes, SIZE_T *moved);

#endif
