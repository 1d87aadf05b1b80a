// As ../strands/mcp_driver.py, with the SDK 1.x. Run it where its packages are.
import {Client} from '@modelcontextprotocol/sdk/client/index.js';
import {StdioClientTransport} from '@modelcontextprotocol/sdk/client/stdio.js';
import {drive} from './drive.mjs';

const [command, ...args] = process.argv.slice(2);
const transport = new StdioClientTransport({command, args, env: process.env});
const client = new Client({name: 'mcp1-driver', version: '1'});
// Only the transport is told which protocol it came to.
let protocol;
transport.setProtocolVersion = (version) => protocol = version;
await drive(client, transport, () => protocol,
            (asked, options) => client.callTool(asked, undefined, options));
