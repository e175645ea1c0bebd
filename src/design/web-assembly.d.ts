/** What is used of WebAssembly, whose types come only with those of browsers. */
declare namespace WebAssembly {
  class Module {
    private readonly kind: 'module';
  }
  interface Memory {
    readonly buffer: ArrayBuffer;
  }
  function compile(bytes: Uint8Array): Promise<Module>;
}

type BufferSource = ArrayBuffer | ArrayBufferView;
