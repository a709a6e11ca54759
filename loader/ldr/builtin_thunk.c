/*
 * Machine code of builtin images (builtin_thunk.h): templates with one 4-byte operand that names an
 * RVA, relative to the next instruction on x86-64 and absolute on i386 (Intel SDM, volume 2).
 */
#include <string.h>

#include "loader/ldr/builtin_thunk.h"

struct code {
    uint8_t bytes[LDR_GATE_SIZE];
    uint8_t size, operand;
};

/* jmp [slot]: the same bytes, RIP-relative on x86-64. */
static const struct code jump = {{0xFF, 0x25}, 6, 2};

#if defined(__x86_64__)
/* lea rax, [record] */
static const struct code trap = {{0x48, 0x8D, 0x05}, 7, 3};
static const struct code gate = {{0x55,                   /* push rbp: keeps the caller traceable */
                                  0x48, 0x89, 0xE5,       /* mov  rbp, rsp */
                                  0x8B, 0x50, 0x04,       /* mov  edx, [rax + 4] */
                                  0x48, 0x01, 0xC2,       /* add  rdx, rax: name */
                                  0x8B, 0x08,             /* mov  ecx, [rax] */
                                  0x48, 0x01, 0xC1,       /* add  rcx, rax: module */
                                  0x48, 0x83, 0xE4, 0xF0, /* and  rsp, -16 */
                                  0x48, 0x83, 0xEC, 0x20, /* sub  rsp, 32: shadow space */
                                  0xFF, 0x15, 0,    0,    0, 0, /* call [slot] */
                                  0x0F, 0x0B},                  /* ud2 */
                                 31,
                                 25};
#else
/* mov eax, record */
static const struct code trap = {{0xB8}, 5, 1};
static const struct code gate = {{0x55,                      /* push ebp */
                                  0x89, 0xE5,                /* mov  ebp, esp */
                                  0x8B, 0x50, 0x04,          /* mov  edx, [eax + 4] */
                                  0x01, 0xC2,                /* add  edx, eax: name */
                                  0x8B, 0x08,                /* mov  ecx, [eax] */
                                  0x01, 0xC1,                /* add  ecx, eax: module */
                                  0x83, 0xE4, 0xF0,          /* and  esp, -16 */
                                  0x83, 0xEC, 0x08,          /* sub  esp, 8 */
                                  0x52, 0x51,                /* push edx; push ecx */
                                  0xFF, 0x15, 0,    0, 0, 0, /* call [slot] */
                                  0x0F, 0x0B},               /* ud2 */
                                 28,
                                 22};
#endif

/* Every operand is the last part of its instruction, so relative ones count from their own end. */
static uint32_t emit(const struct ldr_thunk_image *image, const struct code *code, uint32_t rva,
                     uint32_t target)
{
    struct pe_span at;
    uint32_t operand = rva + code->operand;
    if (!pe_sub(image->bytes, rva, code->size, &at))
        return 0;
    memcpy((uint8_t *)(uintptr_t)at.data, code->bytes, code->size);
#if defined(__x86_64__)
    pe_put_u32(image->bytes, operand, target - (operand + 4));
    return 0;
#else
    pe_put_u32(image->bytes, operand, image->base + target);
    return operand;
#endif
}

uint32_t ldr_thunk_jump(const struct ldr_thunk_image *image, uint32_t rva, uint32_t slot)
{
    return emit(image, &jump, rva, slot);
}

uint32_t ldr_thunk_trap(const struct ldr_thunk_image *image, uint32_t rva, uint32_t record,
                        uint32_t gate_rva)
{
    uint32_t fixup = emit(image, &trap, rva, record);
    uint32_t end = rva + trap.size;
    struct pe_span at;
    if (pe_sub(image->bytes, end, 5, &at)) {
        *(uint8_t *)(uintptr_t)at.data = 0xE9; /* jmp rel32 */
        pe_put_u32(image->bytes, end + 1, gate_rva - (end + 5));
    }
    return fixup;
}

uint32_t ldr_thunk_gate(const struct ldr_thunk_image *image, uint32_t rva, uint32_t slot)
{
    return emit(image, &gate, rva, slot);
}
