// What several of the programs are told. Names like `storage` are those of the services in docker-compose.yml.
local open = { allow: {} };

{
  open: open,
  // The largest Action, Command, Directory or ActionResult, in bytes.
  maximumMessageSizeBytes: 4 * 1024 * 1024,
  // Links in messages lead there; it is no part of this example.
  browserUrl: 'http://127.0.0.1:7984',

  listen(port):: [{
    listenAddresses: [':%d' % port],
    authenticationPolicy: open,
    maximumReceivedMessageSizeBytes: 16 * 1024 * 1024,
  }],

  connect(address):: { grpc: { client: { address: address } } },

  // Blobs in a file of that size. The largest blob has a 35th of it.
  onDisk(directory, bytes, index, newBlocks):: {
    'local': {
      keyLocationMapOnBlockDevice: { file: { path: directory + '/index', sizeBytes: index } },
      keyLocationMapMaximumGetAttempts: 16,
      keyLocationMapMaximumPutAttempts: 64,
      oldBlocks: 8,
      currentBlocks: 24 - newBlocks,
      newBlocks: newBlocks,
      blocksOnBlockDevice: {
        source: { file: { path: directory + '/blocks', sizeBytes: bytes } },
        spareBlocks: 3,
      },
      // So that a restart keeps the cache.
      persistent: { stateDirectoryPath: directory, minimumEpochInterval: '300s' },
    },
  },
}
