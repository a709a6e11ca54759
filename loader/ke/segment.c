/*
 * The segment base that Windows code finds its TEB by: gs on x86-64, fs on i386.
 *
 * glibc keeps its thread pointer in the other register on each (fs, gs), so nothing has to be
 * switched when code of the two worlds calls each other. arch_prctl(2), set_thread_area(2).
 */
#include "loader/ke/thread.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __x86_64__

#include <asm/prctl.h>

nt_status ke_segment_set(struct ke_teb *teb, struct pe_error *err)
{
    if (syscall(SYS_arch_prctl, ARCH_SET_GS, teb) != 0)
        return pe_fail(err, STATUS_UNSUCCESSFUL, "setting the gs base failed: %s", strerror(errno));
    return STATUS_SUCCESS;
}

#else

#include <asm/ldt.h>

/* The GDT entry that the kernel gave the first thread; every thread has its own table of entries,
 * so the same number serves all. Only compared and set, never allocated twice. */
static int32_t gdt_entry = -1;

uint16_t ke_segment_selector(void)
{
    return (uint16_t)(__atomic_load_n(&gdt_entry, __ATOMIC_RELAXED) << 3 | 3); /* GDT, ring 3 */
}

nt_status ke_segment_set(struct ke_teb *teb, struct pe_error *err)
{
    uint16_t selector = 0;
    if (teb) {
        struct user_desc descriptor = {
            .entry_number = (unsigned)__atomic_load_n(&gdt_entry, __ATOMIC_RELAXED),
            .base_addr = (uintptr_t)teb,
            .limit = 0xFFFFF,
            .seg_32bit = 1,
            .limit_in_pages = 1,
            .useable = 1,
        };
        if (syscall(SYS_set_thread_area, &descriptor) != 0)
            return pe_fail(err, STATUS_UNSUCCESSFUL, "setting the fs base failed: %s",
                           strerror(errno));
        __atomic_store_n(&gdt_entry, (int32_t)descriptor.entry_number, __ATOMIC_RELAXED);
        selector = ke_segment_selector();
    }
    __asm__ volatile("movw %w0, %%fs" : : "r"(selector));
    return STATUS_SUCCESS;
}

#endif
