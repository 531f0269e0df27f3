//! The definitions of build events and of the execution log, which no crate has: each message, enum and field of ours
//! against the numbers of the standard, which are written down here once more.

use std::collections::BTreeMap;

use prost_types::{DescriptorProto, EnumDescriptorProto, MessageOptions};

/// Packages that are compared here.
pub(super) const PACKAGES: [&str; 5] = [
    "build_event_stream",
    "command_line",
    "failure_details",
    "google.devtools.build.v1",
    "tools.protos",
];

/// `Message: field=number ...`, from googleapis' `google/devtools/build/v1` and Bazel's
/// `build_event_stream.proto`, `command_line.proto`, `failure_details.proto` and `spawn.proto`.
const STANDARD: &str = "
PublishLifecycleEventRequest: service_level=1 build_event=2 notification_keywords=4 project_id=6
PublishLifecycleEventRequest.ServiceLevel: NONINTERACTIVE=0 INTERACTIVE=1
PublishBuildToolEventStreamRequest: ordered_build_event=4 notification_keywords=5 project_id=6
PublishBuildToolEventStreamResponse: stream_id=1 sequence_number=2
OrderedBuildEvent: stream_id=1 sequence_number=2 event=3
StreamId: build_id=1 component=3 invocation_id=6
StreamId.BuildComponent: UNKNOWN_COMPONENT=0 CONTROLLER=1 WORKER=2 TOOL=3
BuildStatus: result=1 final_invocation_id=3 build_tool_exit_code=4
BuildStatus.Result: UNKNOWN_STATUS=0 COMMAND_SUCCEEDED=1 COMMAND_FAILED=2 USER_ERROR=3 SYSTEM_ERROR=4 CANCELLED=7
BuildEvent: event_time=1 invocation_attempt_started=51 invocation_attempt_finished=52 build_enqueued=53 build_finished=55 component_stream_finished=59 bazel_event=60
BuildEvent.InvocationAttemptStarted: attempt_number=1
BuildEvent.InvocationAttemptFinished: invocation_status=3
BuildEvent.BuildEnqueued:
BuildEvent.BuildFinished: status=1
BuildEvent.BuildComponentStreamFinished: type=1
BuildEvent.BuildComponentStreamFinished.FinishType: FINISH_TYPE_UNSPECIFIED=0 FINISHED=1 EXPIRED=2

command_line.CommandLine: command_line_label=1 sections=2
command_line.CommandLineSection: section_label=1 chunk_list=2 option_list=3
command_line.ChunkList: chunk=1
command_line.OptionList: option=1
command_line.Option: combined_form=1 option_name=2 option_value=3

failure_details.FailureDetail: message=1 interrupted=101 spawn=123
failure_details.Interrupted: code=1
failure_details.Interrupted.Code: INTERRUPTED_UNKNOWN=0 BUILD=1
failure_details.Spawn: code=1 spawn_exit_code=3
failure_details.Spawn.Code: SPAWN_UNKNOWN=0 NON_ZERO_EXIT=1 TIMEOUT=2 OUT_OF_MEMORY=3 EXECUTION_FAILED=4

build_event_stream.BuildEventId: progress=2 started=3 pattern=4 target_completed=5 action_completed=6 build_finished=9 unstructured_command_line=11 options_parsed=12 workspace_status=14 configuration=15 target_configured=16 structured_command_line=18 build_tool_logs=20 build_metrics=22 build_metadata=24
build_event_stream.BuildEventId.ProgressId: opaque_count=1
build_event_stream.BuildEventId.BuildStartedId:
build_event_stream.BuildEventId.UnstructuredCommandLineId:
build_event_stream.BuildEventId.StructuredCommandLineId: command_line_label=1
build_event_stream.BuildEventId.WorkspaceStatusId:
build_event_stream.BuildEventId.OptionsParsedId:
build_event_stream.BuildEventId.PatternExpandedId: pattern=1
build_event_stream.BuildEventId.TargetConfiguredId: label=1 aspect=2
build_event_stream.BuildEventId.ConfigurationId: id=1
build_event_stream.BuildEventId.TargetCompletedId: label=1 aspect=2 configuration=3
build_event_stream.BuildEventId.ActionCompletedId: primary_output=1 label=2 configuration=3
build_event_stream.BuildEventId.BuildFinishedId:
build_event_stream.BuildEventId.BuildToolLogsId:
build_event_stream.BuildEventId.BuildMetricsId:
build_event_stream.BuildEventId.BuildMetadataId:
build_event_stream.Progress: stdout=1 stderr=2
build_event_stream.Aborted: reason=1 description=2
build_event_stream.Aborted.AbortReason: UNKNOWN=0 USER_INTERRUPTED=1 TIME_OUT=2 REMOTE_ENVIRONMENT_FAILURE=3 INTERNAL=4 SKIPPED=7 INCOMPLETE=10 OUT_OF_MEMORY=11
build_event_stream.BuildStarted: uuid=1 start_time_millis=2 build_tool_version=3 options_description=4 command=5 working_directory=6 workspace_directory=7 start_time=9
build_event_stream.WorkspaceStatus: item=1
build_event_stream.WorkspaceStatus.Item: key=1 value=2
build_event_stream.BuildMetadata: metadata=1
build_event_stream.Configuration: mnemonic=1 platform_name=2 cpu=3 make_variable=4
build_event_stream.PatternExpanded:
build_event_stream.OptionsParsed: cmd_line=3 explicit_cmd_line=4 tool_tag=6
build_event_stream.TargetConfigured: target_kind=1
build_event_stream.File: name=1 uri=2 contents=3 digest=5 length=6
build_event_stream.ActionExecuted: success=1 exit_code=2 stderr=4 type=8 failure_detail=11 start_time=12 end_time=13
build_event_stream.TargetComplete: success=1 failure_detail=9
build_event_stream.BuildFinished: exit_code=3 finish_time=5 failure_detail=6
build_event_stream.BuildFinished.ExitCode: name=1 code=2
build_event_stream.BuildMetrics: action_summary=1 target_metrics=3 timing_metrics=5 network_metrics=10
build_event_stream.BuildMetrics.ActionSummary: actions_created=1 actions_executed=2 action_data=4 runner_count=6
build_event_stream.BuildMetrics.ActionSummary.ActionData: mnemonic=1 actions_executed=2 first_started_ms=3 last_ended_ms=4 actions_created=7
build_event_stream.BuildMetrics.ActionSummary.RunnerCount: name=1 count=2 exec_kind=3
build_event_stream.BuildMetrics.TargetMetrics: targets_configured=2
build_event_stream.BuildMetrics.TimingMetrics: wall_time_in_ms=2 execution_phase_time_in_ms=4
build_event_stream.BuildMetrics.NetworkMetrics: system_network_stats=1
build_event_stream.BuildMetrics.NetworkMetrics.SystemNetworkStats: bytes_sent=1 bytes_recv=2
build_event_stream.BuildToolLogs: log=1
build_event_stream.BuildEvent: id=1 children=2 progress=3 aborted=4 started=5 expanded=6 action=7 completed=8 options_parsed=13 finished=14 workspace_status=16 configuration=17 configured=18 last_message=20 structured_command_line=22 build_tool_logs=23 build_metrics=24 build_metadata=26

tools.protos.ExecLogEntry: id=1 invocation=2 file=3 input_set=6 spawn=7
tools.protos.ExecLogEntry.Invocation: hash_function_name=1 id=4
tools.protos.ExecLogEntry.File: path=1 digest=2
tools.protos.ExecLogEntry.InputSet: transitive_set_ids=4 input_ids=5
tools.protos.ExecLogEntry.Output: output_id=5
tools.protos.ExecLogEntry.Spawn: args=1 env_vars=2 platform=3 input_set_id=4 tool_set_id=5 outputs=6 target_label=7 mnemonic=8 exit_code=9 status=10 runner=11 cache_hit=12 remotable=13 cacheable=14 remote_cacheable=15 digest=16 metrics=18
tools.protos.Digest: hash=1 size_bytes=2
tools.protos.EnvironmentVariable: name=1 value=2
tools.protos.Platform: properties=1
tools.protos.Platform.Property: name=1 value=2
tools.protos.SpawnMetrics: total_time=1 network_time=3 fetch_time=4 queue_time=5 upload_time=7 execution_wall_time=8 process_outputs_time=9 retry_time=10 input_bytes=11 input_files=12 start_time=20
";

type Numbers = BTreeMap<String, i32>;

#[test]
fn every_build_event_has_the_standards_names_and_numbers() {
    let mut ours = BTreeMap::new();
    let set = super::descriptors();
    let files = set.file.iter();
    for file in files.filter(|file| PACKAGES.contains(&file.package())) {
        let prefix = match file.package() {
            "google.devtools.build.v1" => String::new(),
            package => format!("{package}."),
        };
        for message in &file.message_type {
            add_message(&prefix, message, &mut ours);
        }
        for each in &file.enum_type {
            add_enum(&prefix, each, &mut ours);
        }
    }
    let lines = STANDARD.lines().filter(|line| !line.is_empty());
    let standard: BTreeMap<String, Numbers> = lines.map(parsed).collect();
    assert_eq!(ours, standard);
}

fn parsed(line: &str) -> (String, Numbers) {
    let (name, fields) = line.split_once(':').expect("a colon");
    let fields = fields.split_whitespace().map(|field| {
        let (name, number) = field.split_once('=').expect("a number");
        (name.to_owned(), number.parse().expect("a number"))
    });
    (name.to_owned(), fields.collect())
}

fn add_message(prefix: &str, message: &DescriptorProto, all: &mut BTreeMap<String, Numbers>) {
    let is_map = message
        .options
        .as_ref()
        .is_some_and(MessageOptions::map_entry);
    if is_map {
        return;
    }
    let name = format!("{prefix}{}", message.name());
    let fields = message.field.iter();
    let numbers = fields.map(|field| (field.name().to_owned(), field.number()));
    all.insert(name.clone(), numbers.collect());
    let prefix = format!("{name}.");
    for nested in &message.nested_type {
        add_message(&prefix, nested, all);
    }
    for each in &message.enum_type {
        add_enum(&prefix, each, all);
    }
}

fn add_enum(prefix: &str, each: &EnumDescriptorProto, all: &mut BTreeMap<String, Numbers>) {
    let values = each.value.iter();
    let numbers = values.map(|value| (value.name().to_owned(), value.number()));
    all.insert(format!("{prefix}{}", each.name()), numbers.collect());
}

#[test]
fn the_methods_have_the_standards_paths() {
    let set = super::descriptors();
    let services = set.file.iter().flat_map(|file| {
        let package = file.package().to_owned();
        file.service
            .iter()
            .map(move |service| (package.clone(), service))
    });
    let paths = services.filter(|(package, _)| PACKAGES.contains(&package.as_str()));
    let paths: Vec<String> = paths
        .flat_map(|(package, service)| {
            let methods = service.method.iter();
            methods.map(move |method| format!("/{package}.{}/{}", service.name(), method.name()))
        })
        .collect();
    let service = "/google.devtools.build.v1.PublishBuildEvent";
    let expected = ["PublishLifecycleEvent", "PublishBuildToolEventStream"];
    assert_eq!(paths, expected.map(|method| format!("{service}/{method}")));
}
