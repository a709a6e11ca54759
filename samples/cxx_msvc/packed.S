/*
 * A C++ function with tables of version 4 (__CxxFrameHandler4), which only Visual C++ 2019 and later
 * make: written by hand after the layout in its ehdata4_export.h.
 *
 *     extern "C" int packed_catch(void (*function)(int), int value)
 *     {
 *         Object object;                 // ~Object() is packed_destroy
 *         try {
 *             function(value);
 *         } catch (int v) {
 *             if (v < 0) function(v);    // throws out of the catch block
 *             if (v > 99) return v;      // the second place to go on
 *             value = v + 1000;
 *         }
 *         return value;                  // the first one
 *     }
 *
 * States: 0 the object, 1 the try block, 2 its catch block; the catch block's own: 0.
 * Frame, from the establisher: 0x20 value, 0x24 v, 0x28 object, 0x30 function.
 */
#define PACKED(value) .byte (value) * 2
#define ENTRY(back, kind) PACKED((back) * 4 + (kind))

    .text
    .globl packed_catch
    .def packed_catch; .scl 2; .type 32; .endef
    .seh_proc packed_catch
packed_catch:
    pushq %rbp
    .seh_pushreg %rbp
    subq $0x40, %rsp
    .seh_stackalloc 0x40
    movq %rsp, %rbp
    .seh_setframe %rbp, 0
    .seh_endprologue
    .seh_handler __CxxFrameHandler4, @unwind, @except
    movl %edx, 0x20(%rbp)
    movq %rcx, 0x30(%rbp)
.Linside:
    movl %edx, %ecx
    callq *0x30(%rbp)
.Lafter:
    nop
.Lfirst:
    leaq 0x28(%rbp), %rcx
    callq packed_destroy
    movl 0x20(%rbp), %eax
    jmp .Lout
.Lsecond:
    leaq 0x28(%rbp), %rcx
    callq packed_destroy
    movl 0x24(%rbp), %eax
.Lout:
    addq $0x40, %rsp
    popq %rbp
    retq
    .seh_handlerdata
    .long .Linfo@IMGREL
    .text
    .seh_endproc

/* The catch block: the function's frame in rdx; returns which place to go on at. */
    .seh_proc packed_block
packed_block:
    movq %rdx, 16(%rsp)
    pushq %rbp
    .seh_pushreg %rbp
    subq $0x20, %rsp
    .seh_stackalloc 0x20
    movq %rdx, %rbp
    .seh_endprologue
    .seh_handler __CxxFrameHandler4, @unwind, @except
    movl 0x24(%rbp), %ecx
    testl %ecx, %ecx
    jns .Lplain
.Lthrow:
    callq *0x30(%rbp)
.Lplain:
    movl $1, %eax
    cmpl $99, %ecx
    jg .Lblock_out
    addl $1000, %ecx
    movl %ecx, 0x20(%rbp)
    xorl %eax, %eax
.Lblock_out:
    addq $0x20, %rsp
    popq %rbp
    retq
.Lblock_end:
    .seh_handlerdata
    .long .Lblock_info@IMGREL
    .text
    .seh_endproc

    .section .rdata, "dr"
.Linfo:
    .byte 0x38 /* unwind map, try map, synchronous */
    .long .Lunwind@IMGREL, .Ltries@IMGREL, .Lpoints@IMGREL
.Lblock_info:
    .byte 0x29 /* catch block, unwind map, synchronous */
    .long .Lblock_unwind@IMGREL, .Lblock_points@IMGREL
    PACKED(0x38) /* where its frame holds the function's: 16 + 8 + 0x20 */
.Lunwind:
    PACKED(3)
    ENTRY(1, 1) /* 0 -> -1: destroys the object in the frame */
    .long packed_destroy@IMGREL
    PACKED(0x28)
    ENTRY(6, 0) /* 1 -> 0 */
    ENTRY(7, 0) /* 2 -> 0 */
.Lblock_unwind:
    PACKED(1)
    ENTRY(1, 3) /* 0 -> -1: runs code */
    .long packed_note@IMGREL
.Ltries:
    PACKED(1)
    PACKED(1) /* low */
    PACKED(1) /* high */
    PACKED(2) /* catch high */
    .long .Lcatches@IMGREL
.Lcatches:
    PACKED(1)
    .byte 0x26 /* type, variable, two places to go on */
    .long packed_int@IMGREL
    PACKED(0x24)
    .long packed_block@IMGREL
    PACKED(.Lfirst - packed_catch)
    PACKED(.Lsecond - packed_catch)
.Lpoints:
    PACKED(3)
    PACKED(.Linside - packed_catch)
    PACKED(1 + 1)
    PACKED(.Lafter + 1 - .Linside)
    PACKED(0 + 1)
    PACKED(.Lfirst - (.Lafter + 1))
    PACKED(-1 + 1)
.Lblock_points:
    PACKED(2)
    PACKED(.Lthrow - packed_block)
    PACKED(0 + 1)
    PACKED(.Lplain + 1 - .Lthrow)
    PACKED(-1 + 1)

    .data
packed_int: /* int's type descriptor */
    .quad "??_7type_info@@6B@", 0
    .asciz ".H"
