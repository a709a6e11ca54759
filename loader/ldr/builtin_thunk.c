/*
 * Machine code of builtin images (builtin_thunk.h): templates with one 4-byte operand that names an
 * RVA, relative to the next instruction on x86-64 and absolute on i386 (Intel SDM, volume 2).
 */
#include <string.h>

#include "loader/ldr/builtin_thunk.h"

struct code {
    uint8_t bytes[LDR_THUNK_SIZE];
    uint8_t size, operand;
};

/* jmp [slot]: the same bytes, RIP-relative on x86-64. */
static const struct code jump = {{0xFF, 0x25}, 6, 2};

#if defined(__x86_64__)
/* lea rax, [record] */
static const struct code trap = {{0x48, 0x8D, 0x05}, 7, 3};
#else
/* mov eax, record */
static const struct code trap = {{0xB8}, 5, 1};
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
                        uint32_t gate)
{
    uint32_t fixup = emit(image, &trap, rva, record);
    uint32_t end = rva + trap.size;
    struct pe_span at;
    if (pe_sub(image->bytes, end, 5, &at)) {
        *(uint8_t *)(uintptr_t)at.data = 0xE9; /* jmp rel32 */
        pe_put_u32(image->bytes, end + 1, gate - (end + 5));
    }
    return fixup;
}

bool ldr_thunk_is_trap(struct pe_span image, uint32_t rva)
{
    struct pe_span at;
    return pe_sub(image, rva, trap.size, &at) && memcmp(at.data, trap.bytes, trap.operand) == 0;
}
