/*
 * The second half of a fault, on the stack of its thread and outside of the signal (fault.h): locks
 * may be taken and handlers of images may run here.
 *
 * Some faults are none for the image: a thread of the host that has no TEB yet, the first read of
 * KUSER_SHARED_DATA. They are mended and the instruction runs again.
 */
#include <errno.h>

#include "loader/ke/fault.h"
#include "loader/ke/process.h"
#include "loader/ke/thread.h"
#include "loader/ke/ucontext.h"
#include "loader/ldr/imagemap.h"
#include "loader/mm/view.h"
#include "loader/stack.h"

#define STATUS_FAST_FAIL 0xC0000409u
#define CONTEXT_PARTS    KE_CONTEXT_ALL

/* Image code that runs without a TEB meets gs:0 or fs:0 with a base of 0, or a null selector. */
static bool mend_missing_teb(struct ke_fault_frame *frame)
{
    struct pe_error err = {0};
    if (ke_current)
        return false;
    if (!nt_ok(ke_thread_enter(&err)))
        ke_process_die(err.text);
#ifdef __i386__
    frame->host.uc_mcontext.gregs[REG_FS] = ke_segment_selector(); /* or sigreturn takes it back */
#endif
    return frame->fault.trap == KE_TRAP_PAGE || frame->fault.trap == KE_TRAP_PROTECTION;
}

/*
 * Data execution prevention. x86-64 Windows always has it; a 32-bit program has it when it says
 * NX_COMPAT. A host that only loads DLLs is no such program: there it is off as soon as one image
 * does not say so.
 */
static bool is_execution_prevented(void)
{
#ifdef __x86_64__
    return true;
#else
    struct ldr_image_range exe;
    const struct ke_peb *peb = ke_peb();
    if (peb && peb->ImageBaseAddress && ldr_image_at((uintptr_t)peb->ImageBaseAddress, &exe))
        return exe.characteristics & IMAGE_DLLCHARACTERISTICS_NX_COMPAT;
    return !ldr_image_any_without(IMAGE_DLLCHARACTERISTICS_NX_COMPAT);
#endif
}

static bool mend(struct ke_fault_frame *frame)
{
    const struct ke_fault *fault = &frame->fault;
    if (mend_missing_teb(frame))
        return true;
    if (fault->trap != KE_TRAP_PAGE || fault->end_of_file || fault->stack_overflow)
        return false;
    if (ke_kuser_fault(fault->address, fault->access == KE_ACCESS_WRITE))
        return true;
    frame->fault.guard_page = mm_guard_consume(fault->address);
    return fault->access == KE_ACCESS_EXECUTE && !fault->guard_page && !is_execution_prevented() &&
           mm_execute_anyway(fault->address);
}

static void raise_exception(struct ke_fault_frame *frame)
{
    uintptr_t sp = (uintptr_t)frame->host.uc_mcontext.gregs[KE_FAULT_SP];
    ke_context_from_ucontext(&frame->context, &frame->host, CONTEXT_PARTS);
    ke_fault_record(&frame->fault, &frame->context, &frame->record);
    if (frame->record.ExceptionCode == STATUS_FAST_FAIL) { /* no handler is asked, says Windows */
        ke_report_crash(&frame->record, &frame->context);
        ke_process_terminate(STATUS_FAST_FAIL);
    }
    ke_dispatch_exception(&frame->record, &frame->context);
    ke_context_to_ucontext(&frame->context, &frame->host);
    if (KE_CONTEXT_SP(&frame->context) > sp)
        stack_forget(KE_CONTEXT_SP(&frame->context));
}

void KE_FAULT_REGPARM ke_fault_dispatch(struct ke_fault_frame *frame)
{
    int saved = errno; /* of native code that was interrupted */
    if (!mend(frame))
        raise_exception(frame);
    sigaltstack(NULL, &frame->host.uc_stack); /* what rt_sigreturn sets: no change */
    errno = saved;
}
