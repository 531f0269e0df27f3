// bb_storage: the content-addressable storage, the action cache, and the address that clients know.
local common = import 'common.libsonnet';
local GiB = 1024 * 1024 * 1024;

{
  grpcServers: common.listen(8980),
  maximumMessageSizeBytes: common.maximumMessageSizeBytes,
  global: {},

  contentAddressableStorage: {
    // The file is sparse. A toolchain takes about 280 MB once.
    backend: common.onDisk('/cas', 32 * GiB, 256 * 1024 * 1024, 3),
    getAuthorizer: common.open,
    putAuthorizer: common.open,
    findMissingAuthorizer: common.open,
  },

  // Results of which a blob is gone are not given out.
  actionCache: {
    backend: {
      completenessChecking: {
        backend: common.onDisk('/ac', GiB, 16 * 1024 * 1024, 1),
        maximumTotalTreeSizeBytes: 64 * 1024 * 1024,
      },
    },
    getAuthorizer: common.open,
    putAuthorizer: common.open,
  },

  // Every instance name goes to the one scheduler, with the words by which it groups jobs.
  schedulers: {
    '': {
      endpoint: {
        address: 'scheduler:8982',
        addMetadataJmespathExpression: {
          expression: '{"build.bazel.remote.execution.v2.requestmetadata-bin": incomingGRPCMetadata."build.bazel.remote.execution.v2.requestmetadata-bin"}',
        },
      },
    },
  },
  executeAuthorizer: common.open,
}
