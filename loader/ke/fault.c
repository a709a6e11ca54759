/*
 * SIGSEGV in the name of images.
 *
 * Two faults are peldr's to mend: the first read of KUSER_SHARED_DATA, and a thread of the host in
 * image code that has no TEB yet. A fault under an entry point or TLS callback that the loader
 * calls ends that call, as Windows's loader has it. Every other fault goes to the handler that was
 * there before; when that is the default action, a report says where the image was. The handler
 * runs on the faulting thread's own stack, which is what its TEB describes.
 */
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <ucontext.h>

#include "loader/ke/process.h"
#include "loader/ke/report.h"
#include "loader/ke/thread.h"
#include "loader/ldr/gate.h"

static struct sigaction previous;

#ifdef __x86_64__
#define REGISTER_IP REG_RIP
#define REGISTER_SP REG_RSP
#define REGISTER_CX REG_RCX
#else
#define REGISTER_IP REG_EIP
#define REGISTER_SP REG_ESP
#define REGISTER_CX REG_ECX
#endif

static uintptr_t get_register(const ucontext_t *context, int number)
{
    return (uintptr_t)context->uc_mcontext.gregs[number];
}

/* Image code that runs without a TEB meets gs:0 or fs:0 with a base of 0, or a null selector. */
static bool mend_missing_teb(ucontext_t *context)
{
    if (ke_current || !ke_in_image(get_register(context, REGISTER_IP)))
        return false;
    if (!nt_ok(ke_thread_enter(NULL)))
        return false;
#ifdef __i386__
    context->uc_mcontext.gregs[REG_FS] = ke_segment_selector(); /* or sigreturn takes it back */
#endif
    return true;
}

static void report(const siginfo_t *info, const ucontext_t *context)
{
    struct ke_text text = {.length = 0};
    uintptr_t ip = get_register(context, REGISTER_IP);
    uintptr_t culprit = ke_in_image(ip) ? ip : ke_find_caller(get_register(context, REGISTER_SP));
    if (!culprit)
        return; /* a crash of the host's own */
    if (ke_in_image(ip) && ((const uint8_t *)ip)[0] == 0xCD && ((const uint8_t *)ip)[1] == 0x29) {
        ke_text_put(&text, "fast fail "); /* int 0x29: the code is in ecx */
        ke_text_hex(&text, (uint32_t)get_register(context, REGISTER_CX));
    } else if (info->si_code == SI_KERNEL) { /* general protection: no address is known */
        ke_text_put(&text, "privileged instruction or access violation");
    } else {
        bool write = get_register(context, REG_ERR) & 2;
        ke_text_put(&text, write ? "access violation writing " : "access violation reading ");
        ke_text_hex(&text, (uintptr_t)info->si_addr);
    }
    ke_text_put(&text, culprit == ip ? " at " : " in host code called from ");
    ke_text_address(&text, culprit);
    ke_text_report(&text);
}

/* It comes by itself when the instruction faults again. */
static void default_action(int number)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(number, &action, NULL);
}

static void on_fault(int number, siginfo_t *info, void *opaque)
{
    ucontext_t *context = opaque;
    bool write = get_register(context, REG_ERR) & 2;
    if (info->si_code > 0 &&
        (ke_kuser_fault((uintptr_t)info->si_addr, write) || mend_missing_teb(context)))
        return;
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(number, info, opaque);
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(number);
    } else {
        default_action(number); /* first, so that a fault of the report itself ends it */
        report(info, context);
        if (info->si_code <= 0) /* sent by somebody: nothing will fault again */
            raise(number);
    }
}

void ke_fault_install(void)
{
    /* NODEFER: DllMain of a thread that is attached from here may itself read KUSER_SHARED_DATA. */
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    struct sigaction before;
    sigaction(SIGSEGV, &action, &before);
    if (before.sa_sigaction != on_fault) /* in front of itself it would call itself for ever */
        previous = before;
}
