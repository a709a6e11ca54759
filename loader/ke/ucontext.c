/*
 * CONTEXT <-> ucontext_t (see ucontext.h).
 *
 * CONTEXT: winnt.h, as exception.h lays it out. ucontext_t: the frame that Linux writes, with the
 * FXSAVE image behind uc_mcontext.fpregs; on i386 that is an FSAVE image first, which alone counts
 * for the x87 registers when the kernel restores it (sigreturn), and an FXSAVE image for the rest.
 */
#include "loader/ke/ucontext.h"

#include <string.h>

struct pair {
    uint16_t offset; /* in CONTEXT */
    uint16_t number; /* in gregs */
};

#define PAIR(field, number)                              \
    {                                                    \
        offsetof(struct ke_context, field), REG_##number \
    }

#ifdef __x86_64__
static const struct pair control[] = {PAIR(Rsp, RSP), PAIR(Rip, RIP)};
static const struct pair integer[] = {
    PAIR(Rax, RAX), PAIR(Rcx, RCX), PAIR(Rdx, RDX), PAIR(Rbx, RBX), PAIR(Rbp, RBP),
    PAIR(Rsi, RSI), PAIR(Rdi, RDI), PAIR(R8, R8),   PAIR(R9, R9),   PAIR(R10, R10),
    PAIR(R11, R11), PAIR(R12, R12), PAIR(R13, R13), PAIR(R14, R14), PAIR(R15, R15),
};
#else
static const struct pair control[] = {PAIR(Ebp, EBP), PAIR(Eip, EIP), PAIR(SegCs, CS),
                                      PAIR(Esp, ESP), PAIR(SegSs, SS)};
static const struct pair integer[] = {PAIR(Eax, EAX), PAIR(Ecx, ECX), PAIR(Edx, EDX),
                                      PAIR(Ebx, EBX), PAIR(Esi, ESI), PAIR(Edi, EDI)};
static const struct pair segments[] = {PAIR(SegGs, GS), PAIR(SegFs, FS), PAIR(SegEs, ES),
                                       PAIR(SegDs, DS)};
#endif
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static void get(struct ke_context *context, const ucontext_t *host, const struct pair *pairs,
                size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uintptr_t value = (uintptr_t)host->uc_mcontext.gregs[pairs[i].number];
        memcpy((char *)context + pairs[i].offset, &value, sizeof(value));
    }
}

static void set(const struct ke_context *context, ucontext_t *host, const struct pair *pairs,
                size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uintptr_t value;
        memcpy(&value, (const char *)context + pairs[i].offset, sizeof(value));
        host->uc_mcontext.gregs[pairs[i].number] = (greg_t)value;
    }
}

static bool names(uint32_t flags, uint32_t part)
{
    return (flags & part) == part;
}

#ifdef __x86_64__

_Static_assert(sizeof(struct ke_fxsave) == sizeof(struct _libc_fpstate), "FXSAVE");

/* The selectors of a 64-bit Windows process. cs and ss are the same on Linux; the others mean
 * nothing in 64-bit mode and are 0 there. */
static void get_segments(struct ke_context *context)
{
    context->SegDs = context->SegEs = context->SegGs = 0x2B;
    context->SegFs = 0x53;
}

void ke_context_from_ucontext(struct ke_context *context, const ucontext_t *host, uint32_t flags)
{
    context->ContextFlags = flags;
    if (names(flags, KE_CONTEXT_CONTROL)) {
        get(context, host, control, COUNT(control));
        context->SegCs = 0x33;
        context->SegSs = 0x2B;
        context->EFlags = (uint32_t)host->uc_mcontext.gregs[REG_EFL];
    }
    if (names(flags, KE_CONTEXT_INTEGER))
        get(context, host, integer, COUNT(integer));
    if (names(flags, KE_CONTEXT_SEGMENTS))
        get_segments(context);
    if (names(flags, KE_CONTEXT_FLOATING_POINT) && host->uc_mcontext.fpregs) {
        memcpy(&context->FltSave, host->uc_mcontext.fpregs, sizeof(context->FltSave));
        /* The kernel keeps words of its own there. */
        memset(context->FltSave.Reserved4, 0, sizeof(context->FltSave.Reserved4));
        context->MxCsr = context->FltSave.MxCsr;
    }
    if (names(flags, KE_CONTEXT_DEBUG_REGISTERS))
        memset(context->Dr, 0, sizeof(context->Dr));
}

void ke_context_to_ucontext(const struct ke_context *context, ucontext_t *host)
{
    uint32_t flags = context->ContextFlags;
    if (names(flags, KE_CONTEXT_CONTROL)) {
        set(context, host, control, COUNT(control));
        host->uc_mcontext.gregs[REG_EFL] = context->EFlags;
    }
    if (names(flags, KE_CONTEXT_INTEGER))
        set(context, host, integer, COUNT(integer));
    if (names(flags, KE_CONTEXT_FLOATING_POINT) && host->uc_mcontext.fpregs) {
        struct _libc_fpstate *area = host->uc_mcontext.fpregs;
        /* MXCSR: reserved bits would make the kernel refuse the frame. */
        uint32_t mask = area->mxcr_mask ? area->mxcr_mask : 0xFFBF;
        memcpy(area, &context->FltSave, offsetof(struct ke_fxsave, Reserved4));
        area->mxcr_mask = mask;
        area->mxcsr = context->MxCsr & mask;
    }
}

#else

enum { FX_X87 = 160, FX_ENV = 24, FX_XMM = 160, FX_XMM_SIZE = 128 }; /* in an FXSAVE image */

/* The frame's FSAVE image (108 bytes), a word that says whether more follows, an FXSAVE image. */
struct frame {
    struct {
        uint32_t control, status, tag, ip, cs, data, ds;
        uint8_t st[8][10];
    } x87;
    uint16_t status, magic; /* magic 0 = the FXSAVE image is there */
    uint8_t fx[512];
};
_Static_assert(offsetof(struct frame, fx) == 112, "struct _fpstate_32");

struct fx {
    uint16_t control, status;
    uint8_t tag, zero;
    uint16_t opcode;
    uint32_t ip, cs, data, ds, mxcsr, mxcsr_mask;
    uint8_t st[8][16];
};
_Static_assert(sizeof(struct fx) == FX_X87, "FXSAVE");

/* FSAVE keeps two bits a register, 3 = empty; FXSAVE one, 0 = empty. The processor looks at what
 * an FSAVE image calls valid again when it loads it. */
static uint32_t wide_tag(uint8_t tag)
{
    uint32_t wide = 0;
    for (int i = 0; i < 8; i++)
        if (!(tag & 1u << i))
            wide |= 3u << 2 * i;
    return wide | 0xFFFF0000u;
}

static void x87_from_fx(struct frame *frame, const uint8_t *image)
{
    struct fx fx;
    memcpy(&fx, image, sizeof(fx));
    frame->x87.control = fx.control | 0xFFFF0000u;
    frame->x87.status = fx.status | 0xFFFF0000u;
    frame->x87.tag = wide_tag(fx.tag);
    frame->x87.ip = fx.ip;
    frame->x87.cs = (fx.cs & 0xFFFF) | (uint32_t)fx.opcode << 16;
    frame->x87.data = fx.data;
    frame->x87.ds = fx.ds;
    for (int i = 0; i < 8; i++)
        memcpy(frame->x87.st[i], fx.st[i], sizeof(frame->x87.st[i]));
}

static struct frame *fp_frame(const ucontext_t *host)
{
    return (struct frame *)host->uc_mcontext.fpregs;
}

void ke_context_from_ucontext(struct ke_context *context, const ucontext_t *host, uint32_t flags)
{
    const struct frame *frame = fp_frame(host);
    context->ContextFlags = flags;
    if (names(flags, KE_CONTEXT_CONTROL)) {
        get(context, host, control, COUNT(control));
        context->EFlags = (uint32_t)host->uc_mcontext.gregs[REG_EFL];
    }
    if (names(flags, KE_CONTEXT_INTEGER))
        get(context, host, integer, COUNT(integer));
    if (names(flags, KE_CONTEXT_SEGMENTS))
        get(context, host, segments, COUNT(segments));
    if (names(flags, KE_CONTEXT_FLOATING_POINT) && frame) {
        memset(context->FloatSave, 0, sizeof(context->FloatSave));
        memcpy(context->FloatSave, &frame->x87, sizeof(frame->x87));
    }
    if (names(flags, KE_CONTEXT_EXTENDED_REGISTERS) && frame && frame->magic == 0) {
        memset(context->ExtendedRegisters, 0, sizeof(context->ExtendedRegisters));
        memcpy(context->ExtendedRegisters, frame->fx, FX_XMM + FX_XMM_SIZE);
    }
    if (names(flags, KE_CONTEXT_DEBUG_REGISTERS))
        memset(context->Dr, 0, sizeof(context->Dr));
}

static void set_extended(const struct ke_context *context, struct frame *frame)
{
    struct fx old, new;
    memcpy(&old, frame->fx, sizeof(old));
    memcpy(&new, context->ExtendedRegisters, sizeof(new));
    x87_from_fx(frame, context->ExtendedRegisters);
    /* Reserved bits would make the kernel refuse the frame. */
    new.mxcsr &= old.mxcsr_mask ? old.mxcsr_mask : 0xFFBF;
    memcpy(frame->fx + FX_ENV, &new.mxcsr, sizeof(new.mxcsr));
    memcpy(frame->fx + FX_XMM, context->ExtendedRegisters + FX_XMM, FX_XMM_SIZE);
}

void ke_context_to_ucontext(const struct ke_context *context, ucontext_t *host)
{
    uint32_t flags = context->ContextFlags;
    struct frame *frame = fp_frame(host);
    if (names(flags, KE_CONTEXT_CONTROL)) {
        uint32_t cs = (uint32_t)host->uc_mcontext.gregs[REG_CS];
        uint32_t ss = (uint32_t)host->uc_mcontext.gregs[REG_SS];
        set(context, host, control, COUNT(control));
        host->uc_mcontext.gregs[REG_CS] = (greg_t)cs;
        host->uc_mcontext.gregs[REG_SS] = (greg_t)ss;
        host->uc_mcontext.gregs[REG_UESP] = (greg_t)context->Esp;
        host->uc_mcontext.gregs[REG_EFL] = (greg_t)context->EFlags;
    }
    if (names(flags, KE_CONTEXT_INTEGER))
        set(context, host, integer, COUNT(integer));
    if (names(flags, KE_CONTEXT_EXTENDED_REGISTERS) && frame && frame->magic == 0)
        set_extended(context, frame);
    if (names(flags, KE_CONTEXT_FLOATING_POINT) && frame)
        memcpy(&frame->x87, context->FloatSave, sizeof(frame->x87));
}

#endif
